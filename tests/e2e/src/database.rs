//! A PostgreSQL database of one installation's own.

use anyhow::{Context as _, Result};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// Names the server that databases may be made on, as its administrator's URL.
const SERVER: &str = "PAASTECH_TEST_POSTGRES";

/// An empty database.
#[derive(Debug)]
pub(crate) struct ThrowAwayDatabase {
    server: String,
    name: String,
}

impl ThrowAwayDatabase {
    pub(crate) async fn create() -> Result<Self> {
        let server = std::env::var_os(SERVER).and_then(|url| url.into_string().ok());
        let server = server
            .with_context(|| format!("{SERVER} names no PostgreSQL: `cargo xtask test e2e` starts one"))?;
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        execute(&server, format!("CREATE DATABASE {name}")).await?;
        Ok(Self { server, name })
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        let server = self.server.rsplit_once('/').map_or(self.server.as_str(), |(server, _)| server);
        format!("{server}/{}", self.name)
    }

    /// Makes it anew.
    pub(crate) async fn empty(&self) -> Result<()> {
        self.remove().await?;
        execute(&self.server, format!("CREATE DATABASE {}", self.name)).await
    }

    /// Removes it with whatever is still connected.
    pub(crate) async fn remove(&self) -> Result<()> {
        execute(&self.server, format!("DROP DATABASE {} WITH (FORCE)", self.name)).await
    }
}

async fn execute(server: &str, sql: String) -> Result<()> {
    let mut connection = PgConnection::connect(server).await.context("the PostgreSQL for tests")?;
    connection.execute(AssertSqlSafe(sql)).await?;
    Ok(())
}
