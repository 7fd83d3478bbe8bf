//! The api as a process of its own.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use paastech_api::{Config, Neighbours, Service};
use paastech_runtime::{
    Clock, Peer, Shutdown, Tls, config, metrics,
    serve::{GrpcServer, check_health},
    telemetry,
};

/// The HTTP API of PaaSTech, its database and its operations.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Configuration file (TOML), of which this is `[api]`; may be given again, the later wins.
    #[arg(long)]
    config: Vec<PathBuf>,
    /// Print the merged configuration and end.
    #[arg(long)]
    check_config: bool,
    /// Ask the one that runs with this configuration whether it serves; the exit code says.
    #[arg(long)]
    health: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let config: Config = config::load_section("api", &args.config, &[])?;
    if let Some(why) = config.objection() {
        anyhow::bail!("configuration: api.{why}");
    }
    if args.check_config {
        print!("{}", config::print_section("api", &config)?);
        return Ok(ExitCode::SUCCESS);
    }
    let tls = config.tls.as_ref().map(Tls::open).transpose()?;
    if args.health {
        check_health(config.control_listen, tls.as_ref(), Peer::Api).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let _traces = telemetry::init(&config.log, &config.tracing, "paastech-api")?;
    let neighbours = Neighbours::remote(&config, tls.as_ref())?;
    let shutdown = Shutdown::new();
    metrics::serve(&config.metrics, "paastech-api", &shutdown).await?;
    let control = GrpcServer::bind(config.control_listen, tls.clone()).await?;
    let service = Service::build(config, neighbours, Clock::system()).await?;
    shutdown.spawn("control", control.run(service.control_server(), &[Peer::SshGitServer], shutdown.clone()));
    tracing::info!(http = %service.addr(), "serving");
    service.run(&shutdown);
    Ok(shutdown.run_until_signal(Duration::from_secs(20)).await?)
}
