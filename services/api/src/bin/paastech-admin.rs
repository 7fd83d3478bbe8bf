//! What an operator does to an installation of separate services, beside its api.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
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
    #[arg(long, env = "PAASTECH_CONFIG")]
    config: Vec<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let config: Config = config::load_section("api", &args.config, &[])?;
    let installation = Installation { tls: config.tls.clone(), folders: Vec::new(), host_key: None, config };
    let config = installation.config.clone();
    admin::run(args.command, installation, move || {
        let tls = config.tls.as_ref().map(Tls::open).transpose()?;
        Neighbours::remote(&config, tls.as_ref())
    })
    .await
}
