//! The edge as a process of its own, where Traefik cannot be had.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use paastech_edge::{Edge, EdgeConfig};
use paastech_runtime::{
    Shutdown, config, metrics,
    telemetry::{self, LogConfig, TracingConfig},
};

/// Routes requests to the containers of one installation.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Configuration file (TOML), of which this is `[edge]`; may be given again, the later wins.
    #[arg(long)]
    config: Vec<PathBuf>,
    /// Prints the merged configuration and ends.
    #[arg(long)]
    check_config: bool,
    /// Ask the one that runs with this configuration whether it routes; the exit code says.
    #[arg(long)]
    health: bool,
    /// The file with the key that signs labels, as 64 hex digits.
    #[arg(long)]
    label_key: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let _traces = telemetry::init(&LogConfig::default(), &TracingConfig::default(), "paastech-edge")?;
    let config: EdgeConfig = config::load_section("edge", &args.config, &[])?;
    if args.check_config {
        print!("{}", config::print_section("edge", &config)?);
        return Ok(ExitCode::SUCCESS);
    }
    if args.health {
        paastech_edge::check_health(config.internal_listen).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let key = std::fs::read_to_string(&args.label_key)
        .with_context(|| format!("label key {}", args.label_key.display()))?;
    let shutdown = Shutdown::new();
    metrics::serve(&config.metrics, "paastech-edge", &shutdown).await?;
    let edge = Edge::build(config, paastech_labels::LabelKey::from_hex(&key)?).await?;
    shutdown.spawn("edge", edge.run(shutdown.clone()));
    Ok(shutdown.run_until_signal(Duration::from_secs(30)).await?)
}
