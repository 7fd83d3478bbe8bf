//! The git-controller as a process of its own.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use paastech_git_controller::{Config, build};
use paastech_runtime::{Shutdown, config, serve::GrpcServer, telemetry};

/// Bare git repositories over gRPC.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// The configuration file.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Print the merged configuration and exit.
    #[arg(long)]
    check_config: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let flags = Flags::parse();
    let config: Config = config::load(flags.config.as_deref(), &[])?;
    if flags.check_config {
        print!("{}", config::print(&config)?);
        return Ok(ExitCode::SUCCESS);
    }
    telemetry::init(&config.log);
    let grpc = GrpcServer::bind(config.listen).await?;
    let service = build(config).await?;
    tracing::info!(address = %grpc.addr()?, "listening");
    let shutdown = Shutdown::new();
    shutdown.spawn("grpc", grpc.run(service.server(), shutdown.clone()));
    Ok(shutdown.run_until_signal(Duration::from_secs(30)).await?)
}
