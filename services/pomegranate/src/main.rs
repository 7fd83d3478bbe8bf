//! Pomegranate as a process of its own.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use paastech_labels::LabelKey;
use paastech_runtime::{
    Peer, Shutdown, Tls, config, metrics,
    serve::{GrpcServer, check_health},
    telemetry,
};
use pomegranate::Config;

/// The deployment manager of PaaSTech.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Configuration file (TOML), of which this is `[pomegranate]`; may be given again, the later wins.
    #[arg(long)]
    config: Vec<PathBuf>,
    /// Print the merged configuration and stop.
    #[arg(long)]
    check_config: bool,
    /// Ask the one that runs with this configuration whether it serves; the exit code says.
    #[arg(long)]
    health: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let flags = Flags::parse();
    let config: Config = config::load_section("pomegranate", &flags.config, &[])?;
    if flags.check_config {
        print!("{}", config::print_section("pomegranate", &config)?);
        return Ok(ExitCode::SUCCESS);
    }
    let tls = config.tls.as_ref().map(Tls::open).transpose()?;
    if flags.health {
        check_health(config.listen, tls.as_ref(), Peer::Pomegranate).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let _traces = telemetry::init(&config.log, &config.tracing, "pomegranate")?;
    let key = std::fs::read_to_string(&config.label_key_file)
        .with_context(|| format!("label key {}", config.label_key_file.display()))?;
    let server = GrpcServer::bind(config.listen, tls).await?;
    let shutdown = Shutdown::new();
    metrics::serve(&config.metrics, "pomegranate", &shutdown).await?;
    let service = pomegranate::build(config, LabelKey::from_hex(&key)?).await?;
    shutdown.spawn("grpc", server.run(service.server(), &[Peer::Api], shutdown.clone()));
    Ok(shutdown.run_until_signal(Duration::from_secs(30)).await?)
}
