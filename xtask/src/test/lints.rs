//! Formatting, lints, and the dependencies' licences and sources.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

use crate::{paths, process, progress::Step, test::tally::Tally};

const CARGO_DENY: &str = "0.20.2";

/// `cargo fmt --check`.
pub(crate) async fn fmt(tally: &mut Tally) -> Result<()> {
    tally.command("every file is formatted", cargo().args(["fmt", "--all", "--check"])).await
}

/// Clippy over everything, warnings denied.
pub(crate) async fn clippy(tally: &mut Tally) -> Result<()> {
    let mut command = cargo();
    command.args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    tally.command("clippy finds nothing", &mut command).await
}

/// `cargo deny`, installed under the cache when absent.
pub(crate) async fn deny(tally: &mut Tally) -> Result<()> {
    let tool = cargo_deny().await?;
    let mut command = process::argv([tool]);
    command.current_dir(paths::workspace()).args([
        "--log-level",
        "warn",
        "check",
        "bans",
        "licenses",
        "sources",
    ]);
    tally.command("the dependencies' licences, sources and bans", &mut command).await
}

/// `cargo deny` asks the database of advisories, which it fetches, about the dependencies.
pub(crate) async fn audit() -> Result<()> {
    let mut command = process::argv([cargo_deny().await?]);
    command.current_dir(paths::workspace()).args(["check", "advisories", "bans", "licenses", "sources"]);
    ensure!(process::status(&mut command).await?.success(), "the dependencies are not as they should be");
    Ok(())
}

/// A cargo in the checkout.
pub(crate) fn cargo() -> tokio::process::Command {
    let mut command = process::argv([paths::cargo()]);
    command.current_dir(paths::workspace());
    command
}

async fn cargo_deny() -> Result<PathBuf> {
    let root = paths::cache()?.join(format!("cargo-deny-{CARGO_DENY}"));
    let tool = root.join("bin").join("cargo-deny");
    if tool.is_file() {
        return Ok(tool);
    }
    let step = Step::new(format!("installing cargo-deny {CARGO_DENY} (minutes, once)"));
    let mut command = process::argv([paths::cargo()]);
    // Away from the checkout: its configuration and target directory are none of the tool's business.
    command.current_dir("/").env_remove("CARGO_TARGET_DIR");
    command.args(["install", "--quiet", "--locked", "--no-track", "--root"]).arg(&root);
    command.arg(format!("cargo-deny@{CARGO_DENY}"));
    process::logged(&mut command, &paths::cache()?.join("cargo-deny.log")).await?;
    if !tool.is_file() {
        bail!("cargo install left no {}", tool.display());
    }
    step.done("");
    Ok(tool)
}
