//! What the tests of several crates share: a PostgreSQL database of one test's own.

use anyhow::Context as _;
use sqlx::{Connection as _, Executor as _, PgConnection};

/// Names the PostgreSQL server that tests may make databases on, as its administrator's URL.
pub const POSTGRES: &str = "PAASTECH_TEST_POSTGRES";

/// The server's URL, where there is one: `cargo xtask test` starts it.
#[must_use]
pub fn postgres_url() -> Option<String> {
    std::env::var_os(POSTGRES)?.into_string().ok().filter(|url| !url.is_empty())
}

/// An empty database that goes when it is told to, or with its throw-away server.
#[derive(Debug)]
pub struct ThrowAwayDatabase {
    server: String,
    name: String,
}

impl ThrowAwayDatabase {
    /// Makes one on the server with this URL.
    ///
    /// # Errors
    /// The server does not answer, or the URL names no administrator.
    pub async fn create(server: &str) -> anyhow::Result<Self> {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        execute(server, format!("CREATE DATABASE {name}")).await?;
        Ok(Self { server: server.to_owned(), name })
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        let server = self.server.rsplit_once('/').map_or(self.server.as_str(), |(server, _)| server);
        format!("{server}/{}", self.name)
    }

    /// Removes it with whatever is still connected.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn remove(self) -> anyhow::Result<()> {
        execute(&self.server, format!("DROP DATABASE {} WITH (FORCE)", self.name)).await
    }
}

async fn execute(server: &str, sql: String) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(server).await.context("the PostgreSQL for tests")?;
    connection.execute(sqlx::AssertSqlSafe(sql)).await?;
    Ok(())
}
