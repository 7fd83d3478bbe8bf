//! What can go wrong with the database, by what it means to the caller.

use paastech_types::Kind;

/// A failed statement, transaction or migration.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// A unique index refused the row.
    #[error("the row exists already")]
    Duplicate(#[source] sqlx::Error),
    /// A foreign key or check refused the row.
    #[error("the row does not fit the others")]
    Constraint(#[source] sqlx::Error),
    /// The database does not answer, is locked, or has no room.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// Anything else: a defect of ours.
    #[error("the database refused a statement")]
    Statement(#[source] sqlx::Error),
    /// A migration failed, or the schema is newer than this program.
    #[error("migration: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The address names no known database.
    #[error("database address must begin with sqlite: or postgres:")]
    Address,
    /// A row holds what no version of this program writes.
    #[error("a stored {0} cannot be read")]
    Corrupt(&'static str),
}

impl DbError {
    /// What it means to the caller.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Duplicate(_) => Kind::Conflict,
            Self::Unavailable(_) => Kind::Unavailable,
            Self::Constraint(_)
            | Self::Statement(_)
            | Self::Migrate(_)
            | Self::Address
            | Self::Corrupt(_) => Kind::Internal,
        }
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::error::ErrorKind;
        match &error {
            sqlx::Error::Database(cause) => match cause.kind() {
                ErrorKind::UniqueViolation => Self::Duplicate(error),
                ErrorKind::ForeignKeyViolation | ErrorKind::NotNullViolation | ErrorKind::CheckViolation => {
                    Self::Constraint(error)
                }
                _ if is_passing(cause.code().as_deref()) => Self::Unavailable(error),
                _ => Self::Statement(error),
            },
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            _ => Self::Statement(error),
        }
    }
}

/// Codes that go away by themselves: SQLite busy (5, 261, 517), locked (6), I/O (10 and its kin), full (13);
/// PostgreSQL classes 08 connection, 28 log-in (a password that is being changed), 40 rollback, 53 resources, 55P03 lock, 57
/// operator.
fn is_passing(code: Option<&str>) -> bool {
    let Some(code) = code else { return false };
    match code.parse::<u32>() {
        Ok(number) if code.len() != 5 => matches!(number & 0xff, 5 | 6 | 10 | 13),
        _ => ["08", "28", "40", "53", "57"].iter().any(|class| code.starts_with(class)) || code == "55P03",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_passing_trouble_from_a_defect() {
        for code in ["5", "517", "10", "13", "08006", "40001", "53100", "55P03", "57P01", "28P01"] {
            assert!(is_passing(Some(code)), "{code}");
        }
        for code in ["1", "42601", "22P02"] {
            assert!(!is_passing(Some(code)), "{code}");
        }
        assert!(!is_passing(None));
    }
}
