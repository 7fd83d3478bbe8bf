//! The workspace's own tests: units, then stores and services on both databases.

use anyhow::Result;

use crate::test::{suite::Suite, tally::Tally};

/// Where the crates are whose tests differ by database.
const ON_BOTH: [&str; 2] = ["crates/db", "services/api"];
pub(crate) const E2E: &str = "tests/e2e";
/// How the programs are cut into processes, where no container holds them.
const PARTITIONS: [&str; 3] = ["embedded", "services", "outside"];
const POSTGRES: &str = "PAASTECH_TEST_POSTGRES";
/// Names the certificate of the authority that vouches for it.
const POSTGRES_CA: &str = "PAASTECH_TEST_POSTGRES_CA";

/// Tests within the files: no database server, no engine.
pub(crate) async fn unit(suite: &mut Suite, tally: &mut Tally) -> Result<()> {
    for test in suite.programs().await?.select(|test| !test.is_integration && !test.is_in(E2E)) {
        tally.tests(&test.name(), &mut suite.command(&test)).await?;
    }
    Ok(())
}

/// Every service's tests, SQLite where there is a database; some of them need the engine.
pub(crate) async fn sqlite(suite: &mut Suite, tally: &mut Tally) -> Result<()> {
    suite.engine().await?;
    for test in suite.programs().await?.select(|test| test.is_integration && !test.is_in(E2E)) {
        tally.tests(&test.name(), &mut suite.command(&test)).await?;
    }
    Ok(())
}

/// The database's and the api's tests on PostgreSQL.
pub(crate) async fn postgres(suite: &mut Suite, tally: &mut Tally) -> Result<()> {
    let server = suite.postgres().await?;
    let (url, authority) = (server.url(), server.authority().to_owned());
    for test in suite.programs().await?.select(|test| ON_BOTH.iter().any(|dir| test.is_in(dir))) {
        let name = format!("{} on PostgreSQL", test.name());
        tally.tests(&name, suite.command(&test).env(POSTGRES, &url).env(POSTGRES_CA, &authority)).await?;
    }
    Ok(())
}

/// End to end, against the built binaries, the engine, and PostgreSQL.
pub(crate) async fn e2e(suite: &mut Suite, tally: &mut Tally) -> Result<()> {
    suite.engine().await?;
    let url = suite.postgres().await?.url();
    let binaries = suite.programs().await?.binaries.clone();
    for test in
        suite.programs().await?.select(|test| test.is_in(E2E) && PARTITIONS.contains(&test.target.as_str()))
    {
        let mut command = suite.command(&test);
        command.env(POSTGRES, &url).env("PAASTECH_BIN_DIR", &binaries);
        tally.tests(&test.name(), &mut command).await?;
    }
    Ok(())
}
