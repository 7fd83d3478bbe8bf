//! Schemathesis over every route of the API: no undocumented status, no 500, no 503 without `Retry-After`.

use anyhow::Result;

use crate::{
    process,
    test::{python, suite::Suite, tally::Tally},
};

const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// Fuzzes an instance of its own.
pub(crate) async fn run(suite: &mut Suite, tally: &mut Tally) -> Result<()> {
    let schemathesis = python::tool(SCHEMATHESIS, "schemathesis").await?;
    let instance = suite.instance().await?;
    let mut command = process::argv([schemathesis]);
    command.current_dir(suite.temporary());
    command.arg("run").arg(format!("http://{}/openapi.json", instance.ports.api()));
    command.arg("--header").arg(format!("Authorization: {}", instance.account.bearer()));
    let outcome = tally.command("schemathesis finds nothing", &mut command).await;
    instance.stop().await?;
    outcome
}
