//! A throw-away database for each test: a file, or one on the server that `PAASTECH_TEST_POSTGRES` names.

use paastech_runtime::Secret;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// Where a test keeps its rows.
pub(crate) enum Database {
    /// A file in the data directory.
    Sqlite,
    /// A database of its own; dropped at the end.
    Postgres { admin: String, name: String },
}

impl Database {
    /// SQLite, and PostgreSQL where there is one.
    pub(crate) async fn each() -> Vec<Self> {
        let mut all = vec![Self::Sqlite];
        #[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
        match std::env::var("PAASTECH_TEST_POSTGRES") {
            Ok(admin) => {
                let name = format!("paastech_test_{}", uuid::Uuid::new_v4().simple());
                run(&admin, format!("CREATE DATABASE {name}")).await;
                all.push(Self::Postgres { admin, name });
            }
            Err(_) => eprintln!("PAASTECH_TEST_POSTGRES is not set: on SQLite only"),
        }
        all
    }

    /// Its address, for the configuration; empty = in the data directory.
    pub(crate) fn address(&self) -> Secret {
        match self {
            Self::Sqlite => Secret::default(),
            Self::Postgres { admin, name } => {
                let (server, _) = admin.rsplit_once('/').expect("postgres://…/database");
                let query = admin.split_once('?').map_or(String::new(), |(_, query)| format!("?{query}"));
                Secret::new(format!("{server}/{name}{query}"))
            }
        }
    }

    pub(crate) async fn drop(self) {
        if let Self::Postgres { admin, name } = self {
            run(&admin, format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

/// Runs one statement.
pub(crate) async fn run(admin: &str, statement: String) {
    let mut connection = PgConnection::connect(admin).await.expect("the PostgreSQL server answers");
    connection.execute(AssertSqlSafe(statement)).await.expect("the statement runs");
    connection.close().await.expect("closed");
}
