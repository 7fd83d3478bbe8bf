//! ssh-audit on the SSH server: no algorithm that it calls a failure.

use anyhow::Result;

use crate::{
    process,
    test::{python, suite::Suite, tally::Tally},
};

const SSH_AUDIT: &str = "ssh-audit==3.9.0";
/// What ssh-audit ends with when the worst it found is a warning.
const WARNINGS: i32 = 2;

/// Audits an instance of its own.
pub(crate) async fn run(suite: &mut Suite, tally: &mut Tally) -> Result<()> {
    let ssh_audit = python::tool(SSH_AUDIT, "ssh-audit").await?;
    let instance = suite.instance().await?;
    let mut command = process::argv([ssh_audit]);
    command.args(["--no-colors", "--level=warn", "--skip-rate-test"]);
    let output = process::output(command.arg(instance.ports.ssh().to_string())).await;
    instance.stop().await?;
    let output = output?;
    let found = String::from_utf8_lossy(&output.stdout);
    println!("{}", found.trim());
    if output.status.success() || output.status.code() == Some(WARNINGS) {
        tally.pass("ssh-audit reports no failure");
    } else {
        tally.fail("ssh-audit reports no failure", &output.status.to_string());
    }
    Ok(())
}
