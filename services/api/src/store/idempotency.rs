//! Answers kept under the client's `Idempotency-Key`. A row without status is a request under way.

use paastech_db::Tx;
use paastech_types::AccountId;

use super::Result;

/// A row of `idempotency`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) route: String,
    pub(crate) request_hash: String,
    pub(crate) status: Option<i64>,
    pub(crate) headers: String,
    pub(crate) body: String,
    pub(crate) expires_at: i64,
}

/// Which request: the first of its key claims it.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) account: AccountId,
    pub(crate) key: String,
    pub(crate) route: String,
    pub(crate) request_hash: String,
}

/// Takes the key if nobody holds it, or if what held it has expired; false = somebody does.
pub(crate) async fn claim(tx: &mut Tx, claim: &Claim, now: i64, expires: i64) -> Result<bool> {
    let done = sqlx::query(
        "INSERT INTO idempotency (account_id, key, route, request_hash, expires_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (account_id, key) DO UPDATE SET route = $3, request_hash = $4, expires_at = $5, \
           status = NULL, headers = '{}', body = '' WHERE idempotency.expires_at <= $6",
    )
    .bind(claim.account.to_string())
    .bind(&claim.key)
    .bind(&claim.route)
    .bind(&claim.request_hash)
    .bind(expires)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What is kept under a key.
pub(crate) async fn get(tx: &mut Tx, account: AccountId, key: &str) -> Result<Option<Row>> {
    let row = sqlx::query_as(
        "SELECT route, request_hash, status, headers, body, expires_at FROM idempotency \
         WHERE account_id = $1 AND key = $2",
    );
    Ok(row.bind(account.to_string()).bind(key).fetch_optional(&mut **tx).await?)
}

/// An answer, to be given again.
pub(crate) struct Answer<'a> {
    pub(crate) status: i64,
    pub(crate) headers: &'a str,
    pub(crate) body: &'a str,
}

/// Keeps the answer to a claimed request.
pub(crate) async fn complete(tx: &mut Tx, claim: &Claim, answer: Answer<'_>, expires: i64) -> Result<()> {
    sqlx::query(
        "UPDATE idempotency SET status = $3, headers = $4, body = $5, expires_at = $6 \
         WHERE account_id = $1 AND key = $2 AND request_hash = $7 AND status IS NULL",
    )
    .bind(claim.account.to_string())
    .bind(&claim.key)
    .bind(answer.status)
    .bind(answer.headers)
    .bind(answer.body)
    .bind(expires)
    .bind(&claim.request_hash)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives a claimed key back: the request may be made again.
pub(crate) async fn release(tx: &mut Tx, claim: &Claim) -> Result<()> {
    sqlx::query(
        "DELETE FROM idempotency WHERE account_id = $1 AND key = $2 AND request_hash = $3 AND status IS NULL",
    )
    .bind(claim.account.to_string())
    .bind(&claim.key)
    .bind(&claim.request_hash)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes what has expired.
pub(crate) async fn sweep(tx: &mut Tx, now: i64) -> Result<()> {
    sqlx::query("DELETE FROM idempotency WHERE expires_at <= $1").bind(now).execute(&mut **tx).await?;
    Ok(())
}
