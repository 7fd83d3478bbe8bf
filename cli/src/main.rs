//! The `paastech` command: a client of the HTTP API, over TCP or over the host's own socket.

mod api;
mod args;
mod client;
mod commands;
mod context;
mod credentials;
mod environment;
mod error;
mod follow;
mod output;
mod prompt;
mod remote;
mod stream;
mod target;
mod when;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let output = output::Output::new(cli.global.json);
    match commands::run(cli, output).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output.report(&error),
    }
}
