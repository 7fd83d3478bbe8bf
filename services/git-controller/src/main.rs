//! The git-controller as a process of its own.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use paastech_git_controller::{Config, build, cage};
use paastech_runtime::{
    Peer, Shutdown, Tls, config, metrics,
    serve::{GrpcServer, check_health},
    telemetry,
};

/// Bare git repositories over gRPC.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Configuration file (TOML), of which this is `[git_controller]`; may be given again, the later wins.
    #[arg(long)]
    config: Vec<PathBuf>,
    /// Print the merged configuration and exit.
    #[arg(long)]
    check_config: bool,
    /// Ask the one that runs with this configuration whether it serves; the exit code says.
    #[arg(long)]
    health: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    cage::dispatch().map_or_else(|| serve(Flags::parse()), Ok)
}

#[tokio::main]
async fn serve(flags: Flags) -> anyhow::Result<ExitCode> {
    let config: Config = config::load_section("git_controller", &flags.config, &[])?;
    if flags.check_config {
        print!("{}", config::print_section("git_controller", &config)?);
        return Ok(ExitCode::SUCCESS);
    }
    let tls = config.tls.as_ref().map(Tls::open).transpose()?;
    if flags.health {
        check_health(config.listen, tls.as_ref(), Peer::GitController).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let _traces = telemetry::init(&config.log, &config.tracing, "paastech-git-controller")?;
    let grpc = GrpcServer::bind(config.listen, tls).await?;
    let shutdown = Shutdown::new();
    metrics::serve(&config.metrics, "paastech-git-controller", &shutdown).await?;
    let server = build(config, shutdown.clone()).await?;
    tracing::info!(address = %grpc.addr()?, "listening");
    shutdown.spawn("grpc", grpc.run(server, &[Peer::Api], shutdown.clone()));
    Ok(shutdown.run_until_signal(Duration::from_secs(30)).await?)
}
