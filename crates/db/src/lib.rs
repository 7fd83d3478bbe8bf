//! One database handle for SQLite and PostgreSQL: opening, migrating, transactions. sqlx's `Any` driver stays in here
//! but for the row types that the stores decode.

pub mod error;
pub mod open;

pub use error::DbError;
pub use open::{Backend, Connections, Database, Tx};
pub use sqlx;
