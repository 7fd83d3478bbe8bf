//! The workspace's own tests: units, then stores and services on both databases.

use anyhow::Result;

use crate::test::{suite::Suite, tally::Tally};

/// The packages whose tests differ by database.
const ON_BOTH: [&str; 2] = ["paastech-db", "paastech-api"];

/// Tests within the files: no database server, no engine.
pub(crate) async fn unit(suite: &mut Suite, tally: &mut Tally) -> Result<()> {
    let mut command = suite.cargo();
    command.args([
        "test",
        "--locked",
        "--no-fail-fast",
        "--workspace",
        "--exclude",
        "paastech-e2e",
        "--lib",
        "--bins",
    ]);
    tally.cargo_test("unit", &mut command).await
}

/// Every service's tests, SQLite where there is a database; some of them need the engine.
pub(crate) async fn sqlite(suite: &mut Suite, tally: &mut Tally) -> Result<()> {
    suite.engine().await?;
    let mut command = suite.cargo();
    command.args([
        "test",
        "--locked",
        "--no-fail-fast",
        "--workspace",
        "--exclude",
        "paastech-e2e",
        "--test",
        "*",
    ]);
    tally.cargo_test("sqlite", &mut command).await
}

/// The database's and the api's tests on PostgreSQL.
pub(crate) async fn postgres(suite: &mut Suite, tally: &mut Tally) -> Result<()> {
    let url = suite.postgres().await?;
    let mut command = suite.cargo();
    command
        .args(["test", "--locked", "--no-fail-fast", "--lib", "--test", "*"])
        .env("PAASTECH_TEST_POSTGRES", url);
    for package in ON_BOTH {
        command.args(["--package", package]);
    }
    tally.cargo_test("postgres", &mut command).await
}
