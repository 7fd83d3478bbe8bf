//! Who works on an operation, and what only they may record.

use paastech_db::{Backend, DbError, Tx};
use paastech_types::OperationId;

use super::{End, Reason, Row};

/// How long a claim holds without a heartbeat.
pub(crate) const LEASE_MS: i64 = 15_000;

/// Takes the oldest operation that is due and that nobody works on, and raises its project's fence. Without a row the
/// transaction is to be dropped.
pub(crate) async fn claim(
    tx: &mut Tx,
    backend: Backend,
    holder: &str,
    now: i64,
) -> Result<Option<Row>, DbError> {
    // The one text that differs: PostgreSQL leases by the server's clock, so that the hosts' clocks don't matter. When
    // an operation is tried next was said by a program's clock, and is read by it.
    let (clock, lock) = match backend {
        Backend::Sqlite => ("CAST($1 AS BIGINT)", ""),
        Backend::Postgres => (
            "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
            "FOR NO KEY UPDATE OF p SKIP LOCKED",
        ),
    };
    let candidate = format!(
        "SELECT o.id, o.project_id, {clock} AS now FROM operation o JOIN project p ON p.id = o.project_id \
         WHERE o.state IN ('queued', 'running', 'undoing') AND o.next_run_at <= CAST($1 AS BIGINT) AND (o.lease_expires IS NULL OR o.lease_expires < {clock}) \
         AND NOT EXISTS (SELECT 1 FROM operation r WHERE r.project_id = o.project_id AND r.lane = o.lane \
         AND r.id <> o.id AND r.state IN ('running', 'undoing')) ORDER BY o.id LIMIT 1 {lock}"
    );
    let found: Option<(String, String, i64)> =
        sqlx::query_as(sqlx::AssertSqlSafe(candidate)).bind(now).fetch_optional(&mut **tx).await?;
    let Some((id, project, leased)) = found else { return Ok(None) };
    let (fence,): (i64,) =
        sqlx::query_as("UPDATE project SET fence = fence + 1 WHERE id = $1 RETURNING fence")
            .bind(project)
            .fetch_one(&mut **tx)
            .await?;
    // Looked at again, now that the project is held: it may have ended, or been taken, in between.
    let row = sqlx::query_as(
        "UPDATE operation SET state = CASE WHEN state = 'queued' THEN 'running' ELSE state END, lease_owner = $1, \
         lease_expires = $2, fence = $3, attempt = attempt + 1, version = version + 1 WHERE id = $4 \
         AND state IN ('queued', 'running', 'undoing') AND next_run_at <= $5 \
         AND (lease_expires IS NULL OR lease_expires < $6) RETURNING *",
    )
    .bind(holder)
    .bind(leased + LEASE_MS)
    .bind(fence)
    .bind(id)
    .bind(now)
    .bind(leased)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row)
}

/// Whose claim a write belongs to: a row whose lease has moved on is not touched.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) id: OperationId,
    pub(crate) holder: String,
    pub(crate) fence: i64,
}

/// Prolongs a claim. `false`: it is lost.
pub(crate) async fn heartbeat(
    tx: &mut Tx,
    backend: Backend,
    claim: &Claim,
    now: i64,
) -> Result<bool, DbError> {
    let clock = match backend {
        Backend::Sqlite => "CAST($1 AS BIGINT)",
        Backend::Postgres => {
            "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) + 0 * CAST($1 AS BIGINT)"
        }
    };
    let text = format!(
        "UPDATE operation SET lease_expires = {clock} + {LEASE_MS} WHERE id = $2 AND fence = $3 AND lease_owner = $4"
    );
    let done = sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(now)
        .bind(claim.id.to_string())
        .bind(claim.fence)
        .bind(&claim.holder)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// The project's fence, if the claim still holds: what a mutating call carries.
pub(crate) async fn fence(tx: &mut Tx, claim: &Claim) -> Result<Option<i64>, DbError> {
    let row: Option<(i64,)> = sqlx::query_as(
        "SELECT p.fence FROM operation o JOIN project p ON p.id = o.project_id \
         WHERE o.id = $1 AND o.fence = $2 AND o.lease_owner = $3",
    )
    .bind(claim.id.to_string())
    .bind(claim.fence)
    .bind(&claim.holder)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|(fence,)| fence))
}

/// Where a claimed operation goes next.
pub(crate) struct Progress<'a> {
    pub(crate) state: &'a str,
    pub(crate) step: &'a str,
    pub(crate) step_data: &'a str,
    pub(crate) release_id: Option<&'a str>,
}

/// Records the next step and resets the attempts. `false`: the claim is lost.
pub(crate) async fn advance(tx: &mut Tx, claim: &Claim, next: Progress<'_>) -> Result<bool, DbError> {
    let done = sqlx::query(
        "UPDATE operation SET state = $1, step = $2, step_data = $3, release_id = COALESCE($4, release_id), \
         attempt = 1, version = version + 1 WHERE id = $5 AND fence = $6 AND lease_owner = $7",
    )
    .bind(next.state)
    .bind(next.step)
    .bind(next.step_data)
    .bind(next.release_id)
    .bind(claim.id.to_string())
    .bind(claim.fence)
    .bind(&claim.holder)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lets go of a claim until `next_run_at`; a build that waits for its source goes back to `queued`. A claim that is let
/// go is no failed attempt.
pub(crate) async fn release(
    tx: &mut Tx,
    claim: &Claim,
    state: &str,
    step: &str,
    at: i64,
) -> Result<bool, DbError> {
    let done = sqlx::query(
        "UPDATE operation SET state = $1, step = $2, next_run_at = $3, lease_owner = NULL, lease_expires = NULL, \
         attempt = attempt - 1, version = version + 1 WHERE id = $4 AND fence = $5 AND lease_owner = $6",
    )
    .bind(state)
    .bind(step)
    .bind(at)
    .bind(claim.id.to_string())
    .bind(claim.fence)
    .bind(&claim.holder)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a claimed operation. `false`: the claim is lost.
pub(crate) async fn finish(
    tx: &mut Tx,
    claim: &Claim,
    end: End,
    reason: Option<&Reason>,
    now: i64,
) -> Result<bool, DbError> {
    let done = sqlx::query(
        "UPDATE operation SET state = $1, error_code = $2, error_text = $3, ended_at = $4, lease_owner = NULL, \
         lease_expires = NULL, version = version + 1 WHERE id = $5 AND fence = $6 AND lease_owner = $7",
    )
    .bind(end.name())
    .bind(reason.map(|reason| reason.code.as_str()))
    .bind(reason.map(|reason| reason.text.as_str()))
    .bind(now)
    .bind(claim.id.to_string())
    .bind(claim.fence)
    .bind(&claim.holder)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records why undoing began, for the end to come.
pub(crate) async fn set_reason(tx: &mut Tx, claim: &Claim, reason: &Reason) -> Result<bool, DbError> {
    let done = sqlx::query(
        "UPDATE operation SET error_code = $1, error_text = $2 WHERE id = $3 AND fence = $4 AND lease_owner = $5",
    )
    .bind(&reason.code)
    .bind(&reason.text)
    .bind(claim.id.to_string())
    .bind(claim.fence)
    .bind(&claim.holder)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Frees every claim: on SQLite, where this process is the only one, whoever held one is dead.
pub(crate) async fn free_claims(tx: &mut Tx) -> Result<u64, DbError> {
    let freed = sqlx::query(
        "UPDATE operation SET lease_owner = NULL, lease_expires = NULL \
         WHERE state IN ('running', 'undoing') AND lease_owner IS NOT NULL",
    );
    Ok(freed.execute(&mut **tx).await?.rows_affected())
}
