//! `cargo xtask up`: PaaSTech on this machine, from nothing to a sample app whose URL has answered.

mod install;

pub(crate) use install::{PROGRAMS, build, install_cli, unlink_cli};

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use rustix::process::geteuid;

use crate::{
    account::{self, Account},
    apt, build_memory, builder,
    daemon::Daemon,
    engine::{self, Engine},
    firewall, interrupt,
    layout::Layout,
    ports::Ports,
    sample,
};

const EXAMPLES: &str = "Examples:\n  \
    cargo xtask up                    # stays in the foreground until Ctrl-C\n  \
    cargo xtask up --exit             # ends once the sample's URL has answered; PaaSTech keeps running\n  \
    cargo xtask up --http-port 8081   # when 8080 is taken\n  \
    cargo xtask down                  # stops what `up --exit` left running; apps stay";

/// How to bring PaaSTech up.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// End with 0 once the sample's URL has answered, and leave PaaSTech running
    #[arg(long)]
    exit: bool,
    /// Remove this installation's apps when stopping
    #[arg(long)]
    down: bool,
    #[command(flatten)]
    ports: Ports,
    /// The data directory [default: /var/lib/paastech, or the XDG data folder without root]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Build with optimisations: slower to build, smaller and faster to run
    #[arg(long)]
    release: bool,
    #[command(flatten)]
    firewall: firewall::Rules,
}

/// What to stop.
#[derive(Debug, Args)]
pub(crate) struct DownOptions {
    /// Remove this installation's apps too
    #[arg(long)]
    apps: bool,
    /// The data directory, as given to `up`
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Brings it up.
pub(crate) async fn run(options: Options) -> Result<()> {
    apt::ensure(&["git", "openssh-client"], "pushing the sample").await?;
    let engine = engine::ensure().await?;
    builder::ensure(&engine).await?;
    let layout = Layout::new(options.data.clone())?;
    let built = install::build(PROGRAMS, options.release).await?;
    // Whatever an earlier run left holds the ports.
    Daemon::stop_running(&layout).await?;
    options.ports.ensure_free()?;
    install::install(&layout, &built, &engine, &options.ports).await?;
    if geteuid().is_root() {
        firewall::load(&options.firewall).await?;
        firewall::keep(&options.firewall)?;
        build_memory::bound();
    } else {
        eprintln!(
            "! not root: apps are not kept off this host's own ports, and the memory of builds is not bounded"
        );
    }
    let mut daemon = Daemon::start(&layout, install::identity(&engine)?, options.ports.api()).await?;
    let outcome = serve(&options, &layout, &mut daemon).await;
    let leave_running = options.exit && outcome.is_ok();
    if leave_running {
        return Ok(());
    }
    daemon.stop().await?;
    if options.down {
        remove_apps(&layout, &engine).await?;
    }
    outcome
}

/// Stops what runs.
pub(crate) async fn down(options: DownOptions) -> Result<()> {
    let layout = Layout::new(options.data)?;
    if !Daemon::stop_running(&layout).await? {
        eprintln!("PaaSTech was not running");
    }
    if options.apps {
        remove_apps(&layout, &engine::find().await?).await?;
    } else {
        eprintln!("Apps keep running; `cargo xtask down --apps` removes them.");
    }
    Ok(())
}

/// With the last apps of this machine go the rules that keep them off it.
async fn remove_apps(layout: &Layout, engine: &Engine) -> Result<()> {
    install::remove_apps(layout, engine).await?;
    if geteuid().is_root() {
        firewall::unload_after_the_last_app(engine).await?;
    }
    Ok(())
}

async fn serve(options: &Options, layout: &Layout, daemon: &mut Daemon) -> Result<()> {
    let account = account::ensure(layout, options.ports.api()).await?;
    let url = sample::deploy(layout, &account, &options.ports).await?;
    summary(options, layout, &account, &url);
    if options.exit {
        println!("PaaSTech keeps running; `cargo xtask down` stops it.");
        return Ok(());
    }
    println!(
        "Ctrl-C stops PaaSTech{}.",
        if options.down { " and removes its apps" } else { "; apps keep running" }
    );
    tokio::select! {
        () = interrupt::wait() => Ok(()),
        ended = daemon.ended() => ended,
    }
}

fn summary(options: &Options, layout: &Layout, account: &Account, url: &str) {
    let (api, ssh) = (options.ports.api(), options.ports.ssh());
    println!(
        "\nPaaSTech is up.\n\n  \
         sample  {url}\n  \
         API     http://{api}  (reference: http://{api}/docs)\n  \
         SSH     ssh://git@{ssh}\n  \
         account {email}, its password is in {account_file}\n  \
         data    {data}, log {log}\n\n\
         Push an app of your own (Python, Node.js, Go, Rust, static files, or with a Dockerfile or Procfile; in git):\n\n  \
         {cli} signup http://{api}\n  \
         {cli} keys add\n  \
         {cli} create my-app\n  \
         git push paastech HEAD:main\n",
        email = account.email,
        account_file = layout.account_file().display(),
        data = layout.data.display(),
        log = layout.log().display(),
        cli = install::cli_name(&layout.cli()),
    );
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: DownOptions,
    }

    #[test]
    fn apps_are_removed_only_when_asked() {
        assert!(!Line::parse_from(["down"]).options.apps);
        assert!(Line::parse_from(["down", "--apps"]).options.apps);
    }
}
