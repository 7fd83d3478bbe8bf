//! Schemathesis over every route of the API: no 500, 502 or 504, no 503 without `Retry-After`, no answer that the
//! document does not describe.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use http::Method;
use serde_json::Value;
use tokio::process::Command;

use crate::{
    account::{self, Account},
    instance::Instance,
    process, sample,
    test::{python, suite::Suite, tally::Tally},
};

const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// One seed, so that a failure is found again; many more examples than this find nothing more in ten times the time.
const GENERATION: [&str; 4] = ["--seed", "20", "--max-examples", "10"];
/// A cursor's text is ours to choose, so a valid-looking one may well be refused; and ids are given, not followed.
const EXCLUDED_CHECKS: &str = "positive_data_acceptance,ensure_resource_availability";
/// They end the session or the project that the others need, so they run last, each with a session of its own.
const ENDING: [&str; 6] = [
    "projects_delete",
    "ssh_keys_delete",
    "accounts_change",
    "accounts_change_password",
    "sessions_delete_current",
    "sessions_delete_all",
];
/// Statuses that are as good an answer to wrong input as 400: a setup that is over is 410 whatever one sends.
const REFUSALS: &str = "[400, 401, 403, 404, 405, 406, 408, 409, 410, 412, 413, 415, 422, 428, 429, 503]";

/// Fuzzes an instance of its own.
pub(crate) async fn run(suite: &mut Suite, tally: &mut Tally) -> Result<()> {
    let schemathesis = python::tool(SCHEMATHESIS, "schemathesis").await?;
    let instance = suite.instance().await?;
    let outcome = all(&schemathesis, &instance, suite.temporary(), tally).await;
    instance.stop().await?;
    outcome
}

async fn all(schemathesis: &Path, instance: &Instance, dir: &Path, tally: &mut Tally) -> Result<()> {
    let dir = tempfile::tempdir_in(dir)?;
    sample::deploy(&instance.layout, &instance.account, &instance.ports).await?;
    fs::write(dir.path().join("schemathesis.toml"), configuration(&instance.account).await?)?;
    let mut most = command(schemathesis, instance, &instance.account, dir.path());
    for operation in ENDING {
        most.args(["--exclude-operation-id", operation]);
    }
    tally.command("schemathesis finds nothing", &mut most).await?;
    for operation in ENDING {
        let account = account::ensure(&instance.layout, instance.ports.api()).await?;
        let mut one = command(schemathesis, instance, &account, dir.path());
        one.args(["--phases", "coverage,fuzzing", "--include-operation-id", operation]);
        tally.command(&format!("schemathesis finds nothing in {operation}"), &mut one).await?;
    }
    Ok(())
}

/// Things that exist, so that routes get past their 404; and no log is followed, since the app goes on.
async fn configuration(account: &Account) -> Result<String> {
    // By id: one of the routes renames it.
    let project = first(account, "/v1/projects").await?;
    let operation = first(account, &format!("/v1/projects/{project}/operations")).await?;
    let key = first(account, "/v1/ssh-keys").await?;
    Ok(format!(
        "[parameters]\n\"path.project\" = \"{project}\"\n\"path.operation\" = \"{operation}\"\n\
         \"path.key\" = \"{key}\"\n\"path.release\" = \"1\"\n\"query.follow\" = false\n\n\
         [checks]\nnegative_data_rejection.expected-statuses = {REFUSALS}\n"
    ))
}

async fn first(account: &Account, collection: &str) -> Result<String> {
    let page: Value = account.call(Method::GET, collection, None).await?.json()?;
    let id = page["items"][0]["id"].as_str();
    Ok(id.with_context(|| format!("{collection} is empty"))?.to_owned())
}

fn command(schemathesis: &Path, instance: &Instance, account: &Account, dir: &Path) -> Command {
    let mut command = process::argv([schemathesis]);
    command.current_dir(dir).env("TMPDIR", dir);
    command.arg("run").arg(format!("http://{}/openapi.json", instance.ports.api()));
    command.arg("--header").arg(format!("Authorization: {}", account.bearer()));
    command.args(GENERATION).args(["--exclude-checks", EXCLUDED_CHECKS]);
    command
}
