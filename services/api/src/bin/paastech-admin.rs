//! What an operator does to an installation of separate services, beside its api.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use paastech_api::{
    Config, Neighbours,
    admin::{self, Command, Installation},
};
use paastech_runtime::{Tls, config};

/// Operates an installation: on the configuration, the database and the neighbours of its api.
#[derive(Parser)]
#[command(version, after_help = "Example:\n  paastech-admin doctor")]
struct Args {
    /// The api's configuration file (TOML); may be given again, the later wins.
    #[arg(long, value_name = "FILE", env = "PAASTECH_CONFIG", global = true)]
    config: Vec<PathBuf>,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    #[command(flatten)]
    Operate(Command),
    /// Make an installation's certificates, and renew those that are due
    Certs(paastech_certs::Command),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let command = match args.task {
        Task::Operate(command) => command,
        Task::Certs(command) => {
            command.run()?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let config: Config = config::load_section("api", &args.config, &[])?;
    let installation = Installation { tls: config.tls.clone(), folders: Vec::new(), host_key: None, config };
    let config = installation.config.clone();
    admin::run(command, installation, move || {
        let tls = config.tls.as_ref().map(Tls::open).transpose()?;
        Neighbours::remote(&config, tls.as_ref())
    })
    .await
}
