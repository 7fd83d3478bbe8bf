//! `paastechd`: every service in one process, or those that its configuration leaves to it.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use paastech_api::admin;
use paastech_runtime::{Shutdown, telemetry};
use paastechd::{config::Config, wire};
use tikv_jemallocator::Jemalloc;

/// The system's keeps the 19 MiB of a password hash for each thread that made one; this one's own thread returns them.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// The PaaSTech platform in one process.
#[derive(Parser)]
#[command(version, after_help = "Example:\n  paastechd --config /etc/paastech/paastechd.toml")]
struct Arguments {
    /// Configuration file (TOML); may be given again, the later wins, and the environment (PAASTECH__SECTION__KEY)
    /// over all.
    #[arg(long, value_name = "FILE", global = true)]
    config: Vec<PathBuf>,
    /// Print the merged configuration, secrets redacted, and exit.
    #[arg(long)]
    check_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Operate the installation, beside the process that runs or without one
    #[command(
        subcommand,
        after_help = "Example:\n  paastechd admin doctor\n\nIt is `paastech-admin` by another name."
    )]
    Admin(admin::Command),
}

fn main() -> anyhow::Result<ExitCode> {
    if let Some(code) = paastech_ssh_git_server::applet::dispatch() {
        return Ok(code);
    }
    let arguments = Arguments::parse();
    let config = Config::load(&arguments.config)?;
    if arguments.check_config {
        print!("{}", paastech_runtime::config::print(&config)?);
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some(Command::Admin(command)) = arguments.command {
        let installation = wire::installation(&config);
        return runtime.block_on(admin::run(command, installation, || wire::neighbours(config)));
    }
    let grace = Duration::from_secs(config.stop_seconds);
    runtime.block_on(async move {
        let _traces = telemetry::init(&config.log, &config.tracing, "paastechd")?;
        let shutdown = Shutdown::new();
        let running = wire::start(config, &shutdown).await?;
        tracing::info!(api = ?running.api, ssh = ?running.ssh, apps = ?running.edge, "ready");
        Ok(shutdown.run_until_signal(grace).await?)
    })
}
