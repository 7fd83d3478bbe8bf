//! The programs of the commit before this one, from which installations are upgraded.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use tokio::process::Command;

use crate::{paths, process, progress::Step};

/// The folder of its `xtask` and its services, which are built unless they are there; `None` where there is no such
/// commit.
pub(super) async fn ensure() -> Result<Option<PathBuf>> {
    let mut parse = git();
    parse.args(["rev-parse", "--verify", "--quiet", "HEAD^"]);
    let Ok(commit) = process::stdout(&mut parse).await else { return Ok(None) };
    let step = Step::new(format!("the programs of the commit before this one, {:.10}", commit));
    let dir = paths::target().join("previous");
    check_out(&dir, commit.trim()).await?;
    step.note("building (minutes the first time)");
    let target = dir.join("target");
    let mut build = process::argv([paths::cargo()]);
    // What it has in common with this one is built: with the features that tests need, which `--examples` brings.
    build
        .current_dir(dir.join("checkout"))
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_BUILD_BUILD_DIR", paths::target())
        .args(["build", "--locked", "--workspace", "--bins", "--examples"]);
    process::logged(&mut build, &dir.join("build.log")).await?;
    step.done("");
    Ok(Some(target.join("debug")))
}

/// Files as new as now: cargo goes by their times, and a commit's may be older than what it built before.
async fn check_out(dir: &Path, commit: &str) -> Result<()> {
    let (checkout, name) = (dir.join("checkout"), dir.join("commit"));
    if fs::read_to_string(&name).is_ok_and(|there| there == commit) {
        return Ok(());
    }
    if checkout.is_dir() {
        fs::remove_dir_all(&checkout)?;
    }
    fs::create_dir_all(&checkout)?;
    let archive = dir.join("source.tar");
    process::stdout(git().args(["archive", "--format", "tar", "--output"]).arg(&archive).arg(commit)).await?;
    process::stdout(process::argv(["tar", "-xmf"]).arg(&archive).arg("-C").arg(&checkout)).await?;
    fs::remove_file(&archive)?;
    fs::write(name, commit)?;
    Ok(())
}

fn git() -> Command {
    let mut git = process::argv(["git"]);
    git.current_dir(paths::workspace());
    git
}
