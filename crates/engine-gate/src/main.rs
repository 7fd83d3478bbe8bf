//! The view of one installation's containers as a process of its own, for the proxy: it holds the engine's socket so that
//! the proxy need not.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use paastech_runtime::{
    MetricsConfig, Shutdown, metrics,
    telemetry::{self, LogConfig, TracingConfig},
};

/// A filtered engine socket for a proxy.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The socket that is made.
    #[arg(long, env = "PAASTECH__SOCKET")]
    socket: PathBuf,
    /// The engine's socket.
    #[arg(long, env = "PAASTECH__ENGINE", default_value = "/var/run/docker.sock")]
    engine: PathBuf,
    /// The installation whose containers are shown.
    #[arg(long, env = "PAASTECH__INSTANCE")]
    instance: String,
    /// An internal address for `GET /metrics`; nowhere when absent.
    #[arg(long, env = "PAASTECH__METRICS__LISTEN")]
    metrics_listen: Option<SocketAddr>,
    /// That address may lie beyond loopback.
    #[arg(long, env = "PAASTECH__METRICS__BEYOND_LOOPBACK")]
    metrics_beyond_loopback: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let _traces = telemetry::init(&LogConfig::default(), &TracingConfig::default(), "paastech-engine-gate")?;
    let shutdown = Shutdown::new();
    let metrics =
        MetricsConfig { listen: args.metrics_listen, beyond_loopback: args.metrics_beyond_loopback };
    metrics::serve(&metrics, "paastech-engine-gate", &shutdown).await?;
    let path = args.socket.display().to_string();
    let view = paastech_engine_gate::watch(args.socket, args.engine, args.instance).context(path.clone())?;
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
