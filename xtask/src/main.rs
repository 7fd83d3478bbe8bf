//! `cargo xtask`: brings PaaSTech up on this machine, makes what it needs from packages, and runs every test.

mod account;
mod apt;
mod base_image;
mod bench;
mod build_memory;
mod builder;
mod daemon;
mod engine;
mod firewall;
mod go;
mod http;
mod indexes;
mod install;
mod instance;
mod interrupt;
mod layout;
mod leftovers;
mod paths;
mod ports;
mod postgres;
mod process;
mod progress;
mod random;
mod sample;
mod systemd;
mod test;
mod toolchains;
mod up;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Brings PaaSTech up on this machine, makes what it needs from packages, and runs every test.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:\n  \
    cargo xtask up             # PaaSTech on this machine, with a sample app deployed\n  \
    cargo xtask down           # stops it\n  \
    cargo xtask test           # every check and every test\n  \
    cargo xtask install        # the separate services on this host, under docker-compose\n  \
    cargo xtask engine         # a container engine, installed when there is none\n  \
    cargo xtask builder        # the images that build and run apps without a Dockerfile\n  \
    cargo xtask base-image     # the image that the others begin from";

#[derive(Subcommand)]
enum Command {
    /// Finds the container engine; installs and starts it when there is none (root)
    Engine,
    /// Makes the image paastech/base:12 from Debian's packages unless the engine has it (root)
    BaseImage,
    /// Makes the images that build and run apps pushed without a Dockerfile, unless the engine has them
    Builder,
    /// Brings PaaSTech up on this machine and deploys a sample by a real git push
    Up(up::Options),
    /// Stops the PaaSTech that `up` left running, and removes its apps when asked
    Down(up::DownOptions),
    /// Installs the separate services on this host under docker-compose (root)
    Install(Box<install::Options>),
    /// Stops and removes what `install` made
    Uninstall(install::UninstallOptions),
    /// Runs every check and every test
    Test(test::Options),
    /// Checks the dependencies' licences, and asks the advisories about them, which needs the internet
    #[command(after_help = "Example:\n  cargo xtask audit")]
    Audit,
    /// Makes the images of the services from this checkout
    Images(install::ImageOptions),
    /// Measures
    Bench(bench::Options),
    /// Renews the pins of the toolchains that our buildpacks fetch
    Toolchains,
    /// Loads the rules that keep apps off this host, as `up` does (root)
    Firewall(firewall::Rules),
    /// Makes an installation's authority and its services' certificates, and renews those that are due
    Certs(paastech_certs::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(_) if interrupt::happened() => ExitCode::from(interrupt::EXIT_CODE),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode> {
    interrupt::listen()?;
    match arguments.command {
        Command::Engine => {
            let engine = engine::ensure().await?;
            println!("engine {} answers at {}", engine.version, engine.socket.display());
        }
        Command::BaseImage => base_image::ensure(&engine::ensure().await?).await?,
        Command::Builder => builder::ensure(&engine::ensure().await?).await?,
        Command::Up(options) => up::run(options).await?,
        Command::Down(options) => up::down(options).await?,
        Command::Install(options) => install::run(*options).await?,
        Command::Uninstall(options) => install::uninstall(options).await?,
        Command::Test(options) => test::run(options).await?,
        Command::Audit => test::audit().await?,
        Command::Images(options) => install::images(options).await?,
        Command::Bench(options) => bench::run(options).await?,
        Command::Toolchains => toolchains::renew().await?,
        Command::Firewall(rules) => firewall::load(&rules).await?,
        Command::Certs(command) => command.run()?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
