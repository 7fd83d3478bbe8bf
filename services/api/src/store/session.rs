//! Log-ins. A session is a family of refresh tokens: revoking it ends them all.

use paastech_db::Tx;
use paastech_types::{AccountId, SessionId};

use super::Result;

/// A row of `session`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Row {
    #[sqlx(try_from = "String")]
    pub(crate) id: SessionId,
    #[sqlx(try_from = "String")]
    pub(crate) account_id: AccountId,
    pub(crate) expires_at: i64,
    pub(crate) revoked_at: Option<i64>,
}

impl Row {
    /// Whether it still counts.
    pub(crate) fn is_live(&self, now: i64) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

/// Adds a session.
pub(crate) async fn insert(
    tx: &mut Tx,
    id: SessionId,
    account: AccountId,
    now: i64,
    expires: i64,
) -> Result<()> {
    sqlx::query("INSERT INTO session (id, account_id, created_at, expires_at) VALUES ($1, $2, $3, $4)")
        .bind(id.to_string())
        .bind(account.to_string())
        .bind(now)
        .bind(expires)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The session with this id.
pub(crate) async fn get(tx: &mut Tx, id: SessionId) -> Result<Option<Row>> {
    let row = sqlx::query_as("SELECT id, account_id, expires_at, revoked_at FROM session WHERE id = $1");
    Ok(row.bind(id.to_string()).fetch_optional(&mut **tx).await?)
}

/// A live session and whose it is.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) created_at: i64,
    pub(crate) expires_at: i64,
}

/// The sessions that still count, oldest first; `email`, in lower case, empty = everybody's.
pub(crate) async fn list_live(tx: &mut Tx, email: &str, now: i64) -> Result<Vec<Listed>> {
    let rows = sqlx::query_as(
        "SELECT s.id, a.email, s.created_at, s.expires_at FROM session s JOIN account a ON a.id = s.account_id \
         WHERE s.revoked_at IS NULL AND s.expires_at > $1 AND ($2 = '' OR a.email = $2) ORDER BY s.id",
    );
    Ok(rows.bind(now).bind(email).fetch_all(&mut **tx).await?)
}

/// Ends one session.
pub(crate) async fn revoke(tx: &mut Tx, id: SessionId, now: i64) -> Result<()> {
    sqlx::query("UPDATE session SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
        .bind(id.to_string())
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Ends every session of an account but `keep`.
pub(crate) async fn revoke_all(
    tx: &mut Tx,
    account: AccountId,
    keep: Option<SessionId>,
    now: i64,
) -> Result<()> {
    sqlx::query(
        "UPDATE session SET revoked_at = $3 WHERE account_id = $1 AND id <> $2 AND revoked_at IS NULL",
    )
    .bind(account.to_string())
    .bind(keep.map_or_else(String::new, |id| id.to_string()))
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes the sessions that have expired, with their tokens.
pub(crate) async fn sweep(tx: &mut Tx, now: i64) -> Result<()> {
    sqlx::query("DELETE FROM session WHERE expires_at <= $1").bind(now).execute(&mut **tx).await?;
    Ok(())
}
