//! One-use invitations to make an account.

use paastech_db::Tx;
use paastech_types::{AccountId, InvitationId};

use super::{Page, Result};

/// A row of `invitation`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Row {
    #[sqlx(try_from = "String")]
    pub(crate) id: InvitationId,
    pub(crate) email: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) expires_at: i64,
    pub(crate) used_at: Option<i64>,
}

/// What a new invitation is made of.
pub(crate) struct New<'a> {
    pub(crate) id: InvitationId,
    pub(crate) token_hash: &'a str,
    pub(crate) email: Option<&'a str>,
    pub(crate) created_by: AccountId,
    pub(crate) now: i64,
    pub(crate) expires_at: i64,
}

/// Adds an invitation.
pub(crate) async fn insert(tx: &mut Tx, new: New<'_>) -> Result<()> {
    sqlx::query(
        "INSERT INTO invitation (id, token_hash, email, created_by, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(new.id.to_string())
    .bind(new.token_hash)
    .bind(new.email)
    .bind(new.created_by.to_string())
    .bind(new.now)
    .bind(new.expires_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The invitation with this token.
pub(crate) async fn by_token(tx: &mut Tx, token_hash: &str) -> Result<Option<Row>> {
    let row = sqlx::query_as(
        "SELECT id, email, created_at, expires_at, used_at FROM invitation WHERE token_hash = $1",
    );
    Ok(row.bind(token_hash).fetch_optional(&mut **tx).await?)
}

/// Invitations in the order they were made.
pub(crate) async fn list(tx: &mut Tx, page: &Page) -> Result<Vec<Row>> {
    let rows = sqlx::query_as(
        "SELECT id, email, created_at, expires_at, used_at FROM invitation WHERE id > $1 ORDER BY id LIMIT $2",
    );
    Ok(rows.bind(&page.after).bind(page.limit).fetch_all(&mut **tx).await?)
}

/// Uses an invitation up; false when somebody else has.
pub(crate) async fn spend(tx: &mut Tx, id: InvitationId, by: AccountId, now: i64) -> Result<bool> {
    let done =
        sqlx::query("UPDATE invitation SET used_by = $2, used_at = $3 WHERE id = $1 AND used_at IS NULL")
            .bind(id.to_string())
            .bind(by.to_string())
            .bind(now)
            .execute(&mut **tx)
            .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes an invitation; false when there is none.
pub(crate) async fn delete(tx: &mut Tx, id: InvitationId) -> Result<bool> {
    let done =
        sqlx::query("DELETE FROM invitation WHERE id = $1").bind(id.to_string()).execute(&mut **tx).await?;
    Ok(done.rows_affected() == 1)
}

/// Removes the invitations that expired before `now`.
pub(crate) async fn sweep(tx: &mut Tx, now: i64) -> Result<()> {
    sqlx::query("DELETE FROM invitation WHERE expires_at <= $1").bind(now).execute(&mut **tx).await?;
    Ok(())
}
