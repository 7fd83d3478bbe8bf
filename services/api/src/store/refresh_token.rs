//! Refresh tokens, by their hash. Each is used once; a second use ends its session.

use paastech_db::Tx;
use paastech_types::SessionId;

use super::Result;

/// A row of `refresh_token`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Row {
    #[sqlx(try_from = "String")]
    pub(crate) session_id: SessionId,
    pub(crate) expires_at: i64,
}

/// Adds a token.
pub(crate) async fn insert(
    tx: &mut Tx,
    hash: &str,
    session: SessionId,
    now: i64,
    expires: i64,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO refresh_token (token_hash, session_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(hash)
    .bind(session.to_string())
    .bind(now)
    .bind(expires)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The token with this hash.
pub(crate) async fn get(tx: &mut Tx, hash: &str) -> Result<Option<Row>> {
    let row = sqlx::query_as("SELECT session_id, expires_at FROM refresh_token WHERE token_hash = $1");
    Ok(row.bind(hash).fetch_optional(&mut **tx).await?)
}

/// Uses a token up; false when it has been used before.
pub(crate) async fn spend(tx: &mut Tx, hash: &str, now: i64) -> Result<bool> {
    let done = sqlx::query("UPDATE refresh_token SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL")
        .bind(hash)
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes the tokens that have expired.
pub(crate) async fn sweep(tx: &mut Tx, now: i64) -> Result<()> {
    sqlx::query("DELETE FROM refresh_token WHERE expires_at <= $1").bind(now).execute(&mut **tx).await?;
    Ok(())
}
