//! Public keys of accounts. The fingerprint is the hex SHA-256 of the key's wire form, the blob its base64.

use paastech_db::Tx;
use paastech_types::{AccountId, KeyId};

use super::{Page, Result};

/// A row of `ssh_key`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Row {
    #[sqlx(try_from = "String")]
    pub(crate) id: KeyId,
    #[sqlx(try_from = "String")]
    pub(crate) account_id: AccountId,
    pub(crate) name: String,
    pub(crate) algorithm: String,
    pub(crate) fingerprint: String,
    pub(crate) blob: String,
    pub(crate) created_at: i64,
    pub(crate) last_used_at: Option<i64>,
}

/// Adds a key; a known fingerprint is `Duplicate`.
pub(crate) async fn insert(tx: &mut Tx, row: &Row) -> Result<()> {
    sqlx::query(
        "INSERT INTO ssh_key (id, account_id, name, algorithm, fingerprint, blob, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(row.id.to_string())
    .bind(row.account_id.to_string())
    .bind(&row.name)
    .bind(&row.algorithm)
    .bind(&row.fingerprint)
    .bind(&row.blob)
    .bind(row.created_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A key of this account.
pub(crate) async fn get(tx: &mut Tx, account: AccountId, id: KeyId) -> Result<Option<Row>> {
    let row = sqlx::query_as("SELECT * FROM ssh_key WHERE account_id = $1 AND id = $2");
    Ok(row.bind(account.to_string()).bind(id.to_string()).fetch_optional(&mut **tx).await?)
}

/// The key with this fingerprint, whoever's it is.
pub(crate) async fn by_fingerprint(tx: &mut Tx, fingerprint: &str) -> Result<Option<Row>> {
    let row = sqlx::query_as("SELECT * FROM ssh_key WHERE fingerprint = $1");
    Ok(row.bind(fingerprint).fetch_optional(&mut **tx).await?)
}

/// Keys of this account in the order they were added.
pub(crate) async fn list(tx: &mut Tx, account: AccountId, page: &Page) -> Result<Vec<Row>> {
    let rows = sqlx::query_as("SELECT * FROM ssh_key WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT $3");
    Ok(rows.bind(account.to_string()).bind(&page.after).bind(page.limit).fetch_all(&mut **tx).await?)
}

/// How many keys this account has.
pub(crate) async fn count(tx: &mut Tx, account: AccountId) -> Result<i64> {
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM ssh_key WHERE account_id = $1");
    Ok(count.bind(account.to_string()).fetch_one(&mut **tx).await?)
}

/// Removes a key of this account; false when there is none.
pub(crate) async fn delete(tx: &mut Tx, account: AccountId, id: KeyId) -> Result<bool> {
    let done = sqlx::query("DELETE FROM ssh_key WHERE account_id = $1 AND id = $2")
        .bind(account.to_string())
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes a log-in, at most once a minute.
pub(crate) async fn touch(tx: &mut Tx, id: KeyId, now: i64) -> Result<()> {
    sqlx::query(
        "UPDATE ssh_key SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $3)",
    )
    .bind(id.to_string())
    .bind(now)
    .bind(now - 60_000)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
