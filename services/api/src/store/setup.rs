//! The one-time token of the first administrator: at most one row, its id a constant.

use paastech_db::Tx;

use super::Result;

const ID: &str = "first";

/// The row of `setup`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) token_hash: String,
    pub(crate) used_at: Option<i64>,
}

/// The token's state, once the first start has made it.
pub(crate) async fn get(tx: &mut Tx) -> Result<Option<Row>> {
    let row = sqlx::query_as("SELECT token_hash, used_at FROM setup WHERE id = $1");
    Ok(row.bind(ID).fetch_optional(&mut **tx).await?)
}

/// Stores a new token's hash while none has been used.
pub(crate) async fn put(tx: &mut Tx, token_hash: &str, now: i64) -> Result<()> {
    sqlx::query(
        "INSERT INTO setup (id, token_hash, created_at) VALUES ($1, $2, $3) \
         ON CONFLICT (id) DO UPDATE SET token_hash = $2, created_at = $3 WHERE setup.used_at IS NULL",
    )
    .bind(ID)
    .bind(token_hash)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Uses the token up; false when somebody else has.
pub(crate) async fn spend(tx: &mut Tx, now: i64) -> Result<bool> {
    let done = sqlx::query("UPDATE setup SET used_at = $2 WHERE id = $1 AND used_at IS NULL")
        .bind(ID)
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}
