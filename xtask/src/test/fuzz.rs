//! Schemathesis over every route of the API: no 500, 502 or 504, no 503 without `Retry-After`, no answer that the
//! document does not describe.

use std::path::Path;

use anyhow::Result;
use tokio::process::Command;

use crate::{
    instance::Instance,
    process,
    test::{python, suite::Suite, tally::Tally},
};

const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// One seed, so that a failure is found again; many more examples than this find nothing more in ten times the time.
const GENERATION: [&str; 4] = ["--seed", "20", "--max-examples", "20"];
/// A cursor's text is ours to choose, so a valid-looking one may well be refused.
const EXCLUDED_CHECKS: &str = "positive_data_acceptance";
/// They end the session that the others need, so they run last and by themselves.
const ENDING: [&str; 4] =
    ["sessions_delete_all", "sessions_delete_current", "accounts_change_password", "accounts_change"];

/// Fuzzes an instance of its own.
pub(crate) async fn run(suite: &mut Suite, tally: &mut Tally) -> Result<()> {
    let schemathesis = python::tool(SCHEMATHESIS, "schemathesis").await?;
    let instance = suite.instance().await?;
    let outcome = both(&schemathesis, &instance, suite.temporary(), tally).await;
    instance.stop().await?;
    outcome
}

async fn both(schemathesis: &Path, instance: &Instance, dir: &Path, tally: &mut Tally) -> Result<()> {
    let dir = tempfile::tempdir_in(dir)?;
    let mut most = command(schemathesis, instance, dir.path());
    for operation in ENDING {
        most.args(["--exclude-operation-id", operation]);
    }
    tally.command("schemathesis finds nothing", &mut most).await?;
    let mut ending = command(schemathesis, instance, dir.path());
    for operation in ENDING {
        ending.args(["--include-operation-id", operation]);
    }
    tally.command("schemathesis finds nothing in what ends sessions", &mut ending).await
}

fn command(schemathesis: &Path, instance: &Instance, dir: &Path) -> Command {
    let mut command = process::argv([schemathesis]);
    command.current_dir(dir).env("TMPDIR", dir);
    command.arg("run").arg(format!("http://{}/openapi.json", instance.ports.api()));
    command.arg("--header").arg(format!("Authorization: {}", instance.account.bearer()));
    command.args(GENERATION).args(["--exclude-checks", EXCLUDED_CHECKS]);
    command
}
