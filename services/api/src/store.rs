//! The database's tables, one module each: a row struct, and functions that take the transaction first.
//! Each SQL text is written once, in the function that uses it, and runs on SQLite and PostgreSQL.

pub(crate) mod account;
pub(crate) mod configuration;
pub(crate) mod container;
pub(crate) mod desired;
pub(crate) mod dump;
pub(crate) mod idempotency;
pub(crate) mod image;
pub(crate) mod invitation;
pub(crate) mod membership;
pub(crate) mod operation;
pub(crate) mod operation_event;
pub(crate) mod project;
pub(crate) mod push;
pub(crate) mod refresh_token;
pub(crate) mod release;
pub(crate) mod role;
pub(crate) mod session;
pub(crate) mod setup;
pub(crate) mod ssh_key;
pub(crate) mod variable;

/// The `Result` of every statement.
pub(crate) type Result<T> = std::result::Result<T, paastech_db::DbError>;

/// A column that holds 0 or 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flag(pub(crate) bool);

impl From<i64> for Flag {
    fn from(column: i64) -> Self {
        Self(column != 0)
    }
}

impl From<Flag> for i64 {
    fn from(flag: Flag) -> Self {
        Self::from(flag.0)
    }
}

/// An id in a column that may be NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Maybe<T>(pub(crate) Option<T>);

impl<T: std::str::FromStr> TryFrom<Option<String>> for Maybe<T> {
    type Error = T::Err;
    fn try_from(column: Option<String>) -> std::result::Result<Self, T::Err> {
        column.map(|text| text.parse()).transpose().map(Self)
    }
}

/// A page of rows in the order of their ids: those after `after`, at most `limit`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    /// The last id of the page before; empty = from the start.
    pub(crate) after: String,
    /// How many rows at most.
    pub(crate) limit: i64,
}
