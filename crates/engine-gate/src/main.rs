//! The view of one installation's containers as a process of its own, for the proxy: it holds the engine's socket so that
//! the proxy need not.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use paastech_engine_gate::Config;
use paastech_runtime::{
    Shutdown, config, metrics,
    telemetry::{self, LogConfig, TracingConfig},
};

/// A filtered engine socket for a proxy.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Configuration file (TOML), of which this is `[engine_gate]`; may be given again, the later wins.
    #[arg(long)]
    config: Vec<PathBuf>,
    /// Print the merged configuration and end.
    #[arg(long)]
    check_config: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let config: Config = config::load_section("engine_gate", &args.config, &[])?;
    if args.check_config {
        print!("{}", config::print_section("engine_gate", &config)?);
        return Ok(ExitCode::SUCCESS);
    }
    let _traces = telemetry::init(&LogConfig::default(), &TracingConfig::default(), "paastech-engine-gate")?;
    anyhow::ensure!(
        !config.instance.is_empty(),
        "configuration: engine_gate.instance: nothing would be shown"
    );
    let shutdown = Shutdown::new();
    metrics::serve(&config.metrics, "paastech-engine-gate", &shutdown).await?;
    let path = config.socket.display().to_string();
    let view = paastech_engine_gate::watch(config.socket, config.engine, config.instance);
    let view = view.context(path.clone())?;
    tracing::info!(socket = path, "the proxy may look");
    let draining = shutdown.draining();
    shutdown.spawn("view", async move {
        tokio::select! {
            () = view => {}
            () = draining => {}
        }
        anyhow::Ok(())
    });
    Ok(shutdown.run_until_signal(Duration::from_secs(5)).await?)
}
