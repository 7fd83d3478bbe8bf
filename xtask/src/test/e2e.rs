//! End to end: the crate `paastech-e2e` against the built binaries, the engine, and PostgreSQL.

use anyhow::Result;

use crate::test::{suite::Suite, tally::Tally};

/// Runs every scenario.
pub(crate) async fn run(suite: &mut Suite, tally: &mut Tally) -> Result<()> {
    suite.engine().await?;
    let (url, binaries) = (suite.postgres().await?, suite.binaries().await?);
    let mut command = suite.cargo();
    command.args(["test", "--locked", "--no-fail-fast", "--package", "paastech-e2e"]);
    command.env("PAASTECH_TEST_POSTGRES", url).env("PAASTECH_BIN_DIR", binaries);
    tally.cargo_test("e2e", &mut command).await
}
