//! Whole tables as JSON lines, the same from either database and into either.

use std::io::{self, Write};

use futures_util::TryStreamExt as _;
use paastech_db::{DbError, Tx};
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, Column as _, Row as _, Statement as _, TypeInfo as _, ValueRef as _, any::AnyRow};

/// A row: its columns by name, those that are NULL left out.
pub(crate) type Line = Map<String, Value>;

/// The tables that a backup holds, parents before their children. Not there: what lives for days only, and log-ins,
/// which a restored copy must not bring back.
pub(crate) const TABLES: [&str; 16] = [
    "role",
    "role_permission",
    "account",
    "setup",
    "invitation",
    "ssh_key",
    "project",
    "membership",
    "configuration",
    "variable",
    "image",
    "release",
    "operation",
    "operation_event",
    "push",
    "container",
];
/// The tables that it leaves out.
pub(crate) const LEFT_OUT: [&str; 3] = ["session", "refresh_token", "idempotency"];

/// The number of the newest migration.
pub(crate) async fn schema(tx: &mut Tx) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations")
        .fetch_one(&mut **tx)
        .await?)
}

/// Writes every row of one of [`TABLES`]; how many there were.
pub(crate) async fn write(
    tx: &mut Tx,
    table: &'static str,
    to: &mut impl Write,
) -> Result<u64, crate::Error> {
    let text = format!("SELECT * FROM {table}");
    let mut rows = sqlx::query(AssertSqlSafe(text)).fetch(&mut **tx);
    let mut count = 0;
    while let Some(row) = rows.try_next().await? {
        serde_json::to_writer(&mut *to, &line(&row)?).map_err(io::Error::from).map_err(unwritable)?;
        to.write_all(b"\n").map_err(unwritable)?;
        count += 1;
    }
    Ok(count)
}

fn unwritable(source: io::Error) -> crate::Error {
    crate::Error::File { what: "the copy of the database cannot be written".to_owned(), source }
}

fn line(row: &AnyRow) -> Result<Line, sqlx::Error> {
    let mut line = Line::new();
    for column in row.columns() {
        let (at, raw) = (column.ordinal(), row.try_get_raw(column.ordinal())?);
        if raw.is_null() {
            continue;
        }
        let value = match raw.type_info().name() {
            "TEXT" => Value::from(row.try_get::<String, _>(at)?),
            "REAL" | "DOUBLE" => Value::from(row.try_get::<f64, _>(at)?),
            _ => Value::from(row.try_get::<i64, _>(at)?),
        };
        line.insert(column.name().to_owned(), value);
    }
    Ok(line)
}

/// Whether nobody has an account, and nothing was ever made.
pub(crate) async fn is_unused(tx: &mut Tx) -> Result<bool, DbError> {
    let text = "SELECT (SELECT COUNT(*) FROM account) + (SELECT COUNT(*) FROM project)";
    let rows: i64 = sqlx::query_scalar(text).fetch_one(&mut **tx).await?;
    Ok(rows == 0)
}

/// Removes every row of every table.
pub(crate) async fn clear(tx: &mut Tx) -> Result<(), DbError> {
    for table in LEFT_OUT.iter().chain(TABLES.iter().rev()) {
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {table}"))).execute(&mut **tx).await?;
    }
    Ok(())
}

/// The columns of a table.
pub(crate) async fn columns(tx: &mut Tx, table: &'static str) -> Result<Vec<String>, DbError> {
    use sqlx::{Executor as _, SqlSafeStr as _};
    let text = AssertSqlSafe(format!("SELECT * FROM {table} LIMIT 0")).into_sql_str();
    let statement = (&mut **tx).prepare(text).await?;
    Ok(statement.columns().iter().map(|column| column.name().to_owned()).collect())
}

/// Adds a row, whose names must all be among the table's `columns`: they come from outside.
pub(crate) async fn insert(
    tx: &mut Tx,
    table: &'static str,
    columns: &[String],
    line: &Line,
) -> Result<(), DbError> {
    if line.is_empty() || line.keys().any(|name| !columns.contains(name)) {
        return Err(DbError::Corrupt("row"));
    }
    let names: Vec<String> = line.keys().map(|name| format!("\"{name}\"")).collect();
    let places: Vec<String> = (1..=line.len()).map(|at| format!("${at}")).collect();
    let text = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), places.join(", "));
    let mut query = sqlx::query(AssertSqlSafe(text));
    for value in line.values() {
        query = match value {
            Value::String(text) => query.bind(text.clone()),
            Value::Number(number) => match number.as_i64() {
                Some(number) => query.bind(number),
                None => query.bind(number.as_f64().ok_or(DbError::Corrupt("number"))?),
            },
            _ => return Err(DbError::Corrupt("value")),
        };
    }
    query.execute(&mut **tx).await?;
    Ok(())
}

/// Puts every project's fence at `now`, in milliseconds: above all that were given before, which rise by one.
pub(crate) async fn raise_fences(tx: &mut Tx, now: i64) -> Result<(), DbError> {
    sqlx::query("UPDATE project SET fence = $1 WHERE fence < $1").bind(now).execute(&mut **tx).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use paastech_db::Database;

    use super::*;

    #[tokio::test]
    async fn every_table_is_in_a_backup_or_left_out_of_it_on_purpose() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let address = format!("sqlite:{}?mode=rwc", dir.path().join("db").display());
        let db = Database::open(&address, &crate::service::MIGRATOR).await.expect("a database");
        let text = "SELECT name FROM sqlite_master WHERE type = 'table'";
        let found: Vec<String> =
            sqlx::query_scalar(text).fetch_all(&mut *db.read().await.expect("read")).await.expect("tables");
        let ours = |name: &&str| !name.starts_with("sqlite_") && !name.starts_with("_sqlx");
        let found: BTreeSet<&str> = found.iter().map(String::as_str).filter(ours).collect();
        assert_eq!(found, TABLES.into_iter().chain(LEFT_OUT).collect());
        db.close().await;
    }
}
