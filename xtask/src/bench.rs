//! `cargo xtask bench`: what is promised about sizes and times, measured on a release build.

mod build;
mod by_hand;

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};

use crate::{base_image, daemon::Daemon, engine, instance::Instance, interrupt, progress::Step, sample, up};

/// How long it is left alone before we look.
const SETTLE: Duration = Duration::from_secs(30);
const IDLE_LIMIT_MIB: f64 = 60.0;

/// What to measure.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cargo xtask bench idle\n  cargo xtask bench build")]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum What {
    /// Memory of an idle paastechd with one deployed app: its proportional set size
    Idle,
    /// Time of a build of samples/python-flask against the same phases run by hand, and of a build after a small change
    Build,
}

/// Measures.
pub(crate) async fn run(options: Options) -> Result<()> {
    match options.what {
        What::Idle => idle().await,
        What::Build => build::run().await,
    }
}

async fn idle() -> Result<()> {
    let engine = engine::ensure().await?;
    base_image::ensure(&engine).await?;
    let binaries = up::build(up::PROGRAMS, true).await?;
    let dir = tempfile::Builder::new().prefix("pt-bench-").tempdir()?;
    let instance = Instance::start(dir.path(), engine, binaries).await?;
    let measured = measure(&instance).await;
    instance.stop().await?;
    let mib = measured?;
    println!("paastechd idles at {mib:.1} MiB PSS with one deployed app (at most {IDLE_LIMIT_MIB})");
    ensure!(mib <= IDLE_LIMIT_MIB, "that is too much");
    Ok(())
}

async fn measure(instance: &Instance) -> Result<f64> {
    sample::deploy(&instance.layout, &instance.account, &instance.ports).await?;
    let step = Step::new("leaving it alone");
    tokio::select! {
        () = tokio::time::sleep(SETTLE) => {}
        () = interrupt::wait() => interrupt::check()?,
    }
    step.done("");
    pss_mib(&instance.daemon)
}

fn pss_mib(daemon: &Daemon) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", daemon.pid()))?;
    let kib = parse_pss(&text).context("smaps_rollup has no Pss line")?;
    Ok(f64::from(kib) / 1024.0)
}

fn parse_pss(text: &str) -> Option<u32> {
    text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix("kB")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proportional_set_size_is_read() {
        let text = "00400000-7fff rollup\nRss:  10 kB\nPss:    2048 kB\nPss_Anon: 1 kB\n";
        assert_eq!(parse_pss(text), Some(2048));
    }
}
