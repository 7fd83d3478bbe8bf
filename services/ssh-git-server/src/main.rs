//! The SSH server as a process of its own; also git's hooks and the cage of its git children, by other names.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use paastech_proto::control::control_client::ControlClient;
use paastech_runtime::{
    Neighbour, Peer, Shutdown, Tls, config, metrics, serve::on_this_host, telemetry, transport,
};
use paastech_ssh_git_server::{Config, applet, build};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

/// How long a check of health waits for the greeting.
const PATIENCE: Duration = Duration::from_secs(5);

/// The SSH front door for git.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Configuration file (TOML), of which this is `[ssh]`; may be given again, the later wins.
    #[arg(long)]
    config: Vec<PathBuf>,
    /// The api's internal address, such as <http://127.0.0.1:7000>.
    #[arg(long)]
    control: Option<String>,
    /// Print the merged configuration and exit.
    #[arg(long)]
    check_config: bool,
    /// Ask the one that runs with this configuration whether it serves; the exit code says.
    #[arg(long)]
    health: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    applet::dispatch().map_or_else(|| serve(Flags::parse()), Ok)
}

#[tokio::main]
async fn serve(flags: Flags) -> anyhow::Result<ExitCode> {
    let control = flags.control.map(|url| ("ssh.control", url));
    let config: Config = config::load_section("ssh", &flags.config, control.as_slice())?;
    if flags.check_config {
        print!("{}", config::print_section("ssh", &config)?);
        return Ok(ExitCode::SUCCESS);
    }
    if flags.health {
        tokio::time::timeout(PATIENCE, check_health(config.listen))
            .await
            .with_context(|| format!("{} does not greet in time", config.listen))??;
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

/// Whether the server that listens here greets.
async fn check_health(listen: SocketAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(on_this_host(listen)).await?;
    let mut greeting = [0; 8];
    stream.read_exact(&mut greeting).await?;
    anyhow::ensure!(&greeting == b"SSH-2.0-", "no SSH server answers on {listen}");
    Ok(())
}
