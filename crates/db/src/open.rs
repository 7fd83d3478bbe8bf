//! Opening a database and beginning transactions on it.

use std::{sync::Once, time::Duration};

use sqlx::{
    Any, AnyPool, Connection as _, Executor as _, Transaction,
    any::{AnyPoolOptions, install_default_drivers},
    migrate::Migrator,
};

use crate::DbError;

/// One unit of work; rolled back when dropped.
pub type Tx = Transaction<'static, Any>;

/// Which database is behind the handle. Nothing but the lease claim asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A file; one writer at a time.
    Sqlite,
    /// A server.
    Postgres,
}

/// How many connections there are to a database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connections {
    /// Open, and free for the next transaction.
    pub idle: u32,
    /// In a transaction.
    pub used: u32,
    /// Both together are never more.
    pub most: u32,
}

/// A handle; clones share its connections.
#[derive(Debug, Clone)]
pub struct Database {
    backend: Backend,
    /// SQLite: a single connection, so that writers queue here and not in the file's lock.
    writer: AnyPool,
    reader: AnyPool,
}

/// Of one transaction.
const NO_TIMEOUTS: &str =
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;";

static DRIVERS: Once = Once::new();

impl Database {
    /// Opens `sqlite:…` or `postgres:…` and brings its schema up to date.
    ///
    /// # Errors
    /// An unknown kind of address, no connection, or a failed migration.
    pub async fn open(address: &str, migrator: &Migrator) -> Result<Self, DbError> {
        let database = Self::connect(address).await?;
        migrator.run(&database.writer).await?;
        Ok(database)
    }

    /// Opens it as it is.
    ///
    /// # Errors
    /// An unknown kind of address, or no connection.
    pub async fn connect(address: &str) -> Result<Self, DbError> {
        DRIVERS.call_once(install_default_drivers);
        match address.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => {
                let writer = sqlite_pool(1).connect(address).await?;
                Ok(Self { backend: Backend::Sqlite, writer, reader: sqlite_pool(4).connect(address).await? })
            }
            Some("postgres" | "postgresql") => {
                let pool = postgres_pool().connect(address).await?;
                Ok(Self { backend: Backend::Postgres, writer: pool.clone(), reader: pool })
            }
            _ => Err(DbError::Address),
        }
    }

    /// Which database this is.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// A transaction that may write. On SQLite it takes the write lock at once, so that reading first is safe.
    ///
    /// # Errors
    /// No connection within the pool's time.
    pub async fn begin(&self) -> Result<Tx, DbError> {
        Ok(match self.backend {
            Backend::Sqlite => self.writer.begin_with("BEGIN IMMEDIATE").await?,
            Backend::Postgres => self.writer.begin().await?,
        })
    }

    /// A transaction that only reads.
    ///
    /// # Errors
    /// No connection within the pool's time.
    pub async fn read(&self) -> Result<Tx, DbError> {
        Ok(self.reader.begin().await?)
    }

    /// A transaction that reads everything as it is at its first statement, however long it takes.
    ///
    /// # Errors
    /// No connection within the pool's time.
    pub async fn snapshot(&self) -> Result<Tx, DbError> {
        if self.backend == Backend::Sqlite {
            return self.read().await;
        }
        let mut tx = self.reader.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        tx.execute(NO_TIMEOUTS).await?;
        Ok(tx)
    }

    /// A transaction that may write, however long it takes.
    ///
    /// # Errors
    /// No connection within the pool's time.
    pub async fn begin_long(&self) -> Result<Tx, DbError> {
        let mut tx = self.begin().await?;
        if self.backend == Backend::Postgres {
            tx.execute(NO_TIMEOUTS).await?;
        }
        Ok(tx)
    }

    /// The server's clock, in milliseconds since 1970; a file has none.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn clock_ms(&self) -> Result<Option<i64>, DbError> {
        if self.backend == Backend::Sqlite {
            return Ok(None);
        }
        let text = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";
        Ok(Some(sqlx::query_scalar(text).fetch_one(&self.reader).await?))
    }

    /// Gives the role of this handle another password, on a server: `SCRAM-SHA-256$…`.
    ///
    /// # Errors
    /// The server refuses, or the text is no such verifier.
    pub async fn set_own_password(&self, verifier: &str) -> Result<(), DbError> {
        if !verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-$:+/=".contains(&byte)) {
            return Err(DbError::Corrupt("verifier"));
        }
        let text = format!("ALTER ROLE CURRENT_USER PASSWORD '{verifier}'");
        self.writer.execute(sqlx::AssertSqlSafe(text)).await?;
        Ok(())
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), DbError> {
        self.reader.execute("SELECT 1").await?;
        Ok(())
    }

    /// What its pools hold now.
    #[must_use]
    pub fn connections(&self) -> Connections {
        let pools: &[&AnyPool] = match self.backend {
            Backend::Sqlite => &[&self.writer, &self.reader],
            Backend::Postgres => &[&self.writer],
        };
        let mut all = Connections::default();
        for pool in pools {
            let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
            all.idle += idle;
            all.used += pool.size().saturating_sub(idle);
            all.most += pool.options().get_max_connections();
        }
        all
    }

    /// Closes every connection; on SQLite the log is folded into the file.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

fn sqlite_pool(connections: u32) -> AnyPoolOptions {
    let options = AnyPoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_secs(10));
    let options = options.after_connect(|connection, _| {
        Box::pin(async move {
            connection
                .execute(
                    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                     PRAGMA busy_timeout = 5000;",
                )
                .await?;
            Ok(())
        })
    });
    // A full disk makes SQLite roll back by itself. sqlx then counts a transaction that is no more, and the
    // connection can begin none again.
    options.after_release(|connection, _| {
        Box::pin(async move {
            connection.ping().await?;
            Ok(!connection.is_in_transaction())
        })
    })
}

fn postgres_pool() -> AnyPoolOptions {
    AnyPoolOptions::new().max_connections(10).acquire_timeout(Duration::from_secs(5)).after_connect(
        |connection, _| {
            Box::pin(async move {
                connection
                    .execute(
                        "SET statement_timeout = '30s'; SET idle_in_transaction_session_timeout = '60s';",
                    )
                    .await?;
                Ok(())
            })
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_sqlite_rolled_back_by_itself_does_not_stop_the_next_writer() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let address = format!("sqlite:{}?mode=rwc", dir.path().join("db").display());
        let database = Database::open(&address, &Migrator::DEFAULT).await.expect("opens");
        let mut tx = database.begin().await.expect("begins");
        assert_eq!(database.connections(), Connections { idle: 1, used: 1, most: 5 });
        tx.execute("ROLLBACK").await.expect("as a full disk does");
        drop(tx);
        let mut tx = database.begin().await.expect("begins again");
        tx.execute("CREATE TABLE t (a TEXT)").await.expect("writes");
        tx.commit().await.expect("commits");
    }
}
