//! `static-server`: serves the files of one directory on 0.0.0.0:$PORT; what the buildpack `paastech/static` ships.

mod content;
mod headers;
mod site;

use std::{net::Ipv4Addr, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::Parser;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// Serves the files of one directory.
#[derive(Parser)]
#[command(name = "static-server")]
struct Arguments {
    /// The directory to serve
    root: PathBuf,
    /// Answer pages that no file has with index.html, for apps that route in the browser
    #[arg(long)]
    single_page: bool,
    /// The port to listen on
    #[arg(long, env = "PORT", default_value_t = 8080)]
    port: u16,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let root = arguments.root.canonicalize();
    let root = root.with_context(|| format!("cannot serve {}", arguments.root.display()))?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, arguments.port)).await;
    let listener = listener.with_context(|| format!("cannot listen on port {}", arguments.port))?;
    let mut stop = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    println!("serving {} on {}", root.display(), listener.local_addr()?);
    axum::serve(listener, site::router(&root, arguments.single_page))
        .with_graceful_shutdown(async move {
            tokio::select! {
                _ = stop.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await?;
    Ok(())
}
