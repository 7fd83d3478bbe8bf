//! Test tools from PyPI, each pinned, in a virtual environment under the cache.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{apt, paths, process, progress::Step};

/// The program `name` of the package pinned by `requirement`, such as `ssh-audit==3.9.0`.
pub(crate) async fn tool(requirement: &str, name: &str) -> Result<PathBuf> {
    let venv = paths::cache()?.join("python").join(requirement);
    let program = venv.join("bin").join(name);
    // Made aside under its final name's sibling it would not run: a venv knows its own path. So a mark ends it.
    let complete = venv.join("complete");
    if complete.is_file() {
        return Ok(program);
    }
    let step = Step::new(format!("installing {requirement} from PyPI"));
    install(requirement, &venv).await.with_context(|| format!("cannot install {requirement}"))?;
    std::fs::write(&complete, "")?;
    step.done("");
    Ok(program)
}

async fn install(requirement: &str, venv: &Path) -> Result<()> {
    let log = paths::cache()?.join("pip.log");
    let python = if process::exists("python3") { "python3" } else { "/usr/bin/python3" };
    let make = || {
        let mut command = process::argv([python, "-m", "venv", "--clear"]);
        command.arg(venv);
        command
    };
    if !process::exists("python3") || process::logged(&mut make(), &log).await.is_err() {
        apt::ensure(&["python3", "python3-venv"], "tools from PyPI").await?;
        process::logged(&mut make(), &log).await?;
    }
    let mut pip = process::argv([venv.join("bin").join("pip")]);
    pip.args(["install", "--quiet", "--disable-pip-version-check", requirement]);
    process::logged(&mut pip, &log).await
}
