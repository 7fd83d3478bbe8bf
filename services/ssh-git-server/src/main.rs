//! The SSH server as a process of its own; also git's hooks and the cage of its git children, by other names.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use http::Uri;
use paastech_proto::control::control_client::ControlClient;
use paastech_runtime::{Shutdown, config, telemetry, transport};
use paastech_ssh_git_server::{Config, applet, build};

/// The SSH front door for git.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// The configuration file.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The api's internal address.
    #[arg(long, default_value = "http://127.0.0.1:7000")]
    control: Uri,
    /// Print the merged configuration and exit.
    #[arg(long)]
    check_config: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    match applet::dispatch() {
        Some(code) => Ok(code),
        None => serve(Flags::parse()),
    }
}

#[tokio::main]
async fn serve(flags: Flags) -> anyhow::Result<ExitCode> {
    let config: Config = config::load(flags.config.as_deref(), &[])?;
    if flags.check_config {
        print!("{}", config::print(&config)?);
        return Ok(ExitCode::SUCCESS);
    }
    telemetry::init(&telemetry::LogConfig::default());
    let service = build(config, ControlClient::new(transport::remote(flags.control))).await?;
    tracing::info!(address = %service.addr()?, host_key = service.host_key_fingerprint(), "listening");
    let shutdown = Shutdown::new();
    shutdown.spawn("ssh", service.run(shutdown.clone()));
    Ok(shutdown.run_until_signal(Duration::from_secs(300)).await?)
}
