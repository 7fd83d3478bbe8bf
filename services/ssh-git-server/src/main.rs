//! The SSH server as a process of its own; also git's hooks and the cage of its git children, by other names.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use paastech_proto::control::control_client::ControlClient;
use paastech_runtime::{Neighbour, Peer, Shutdown, Tls, config, metrics, telemetry, transport};
use paastech_ssh_git_server::{Config, applet, build};

/// The SSH front door for git.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// The configuration file.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The api's internal address, such as <http://127.0.0.1:7000>.
    #[arg(long)]
    control: Option<String>,
    /// Print the merged configuration and exit.
    #[arg(long)]
    check_config: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    applet::dispatch().map_or_else(|| serve(Flags::parse()), Ok)
}

#[tokio::main]
async fn serve(flags: Flags) -> anyhow::Result<ExitCode> {
    let control = flags.control.map(|url| ("control", url));
    let config: Config = config::load(flags.config.as_deref(), control.as_slice())?;
    if flags.check_config {
        print!("{}", config::print(&config)?);
        return Ok(ExitCode::SUCCESS);
    }
    let _traces = telemetry::init(&config.log, &config.tracing, "paastech-ssh-git-server")?;
    let Neighbour::Url(api) = &config.control else { anyhow::bail!("control: give the api's address") };
    let tls = config.tls.as_ref().map(Tls::open).transpose()?;
    let control = transport::remote(api, tls.as_ref(), Peer::Api).context("control")?;
    let shutdown = Shutdown::new();
    metrics::serve(&config.metrics, "paastech-ssh-git-server", &shutdown).await?;
    let service = build(config, ControlClient::new(control)).await?;
    shutdown.spawn("ssh", service.run(shutdown.clone()));
    Ok(shutdown.run_until_signal(Duration::from_secs(300)).await?)
}
