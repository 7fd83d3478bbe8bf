//! The `operation_event` table: an operation's timeline, written in the transaction of its step.

use paastech_db::{DbError, Tx};
use paastech_types::OperationId;

/// One line of the timeline.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) seq: i64,
    pub(crate) step: String,
    pub(crate) phase: String,
    pub(crate) at: i64,
    pub(crate) data: String,
}

pub(crate) async fn append(
    tx: &mut Tx,
    operation: OperationId,
    step: &str,
    phase: &str,
    at: i64,
    data: &str,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO operation_event (operation_id, seq, step, phase, at, data) \
         SELECT $1, COALESCE(MAX(seq), 0) + 1, $2, $3, $4, $5 FROM operation_event WHERE operation_id = $6",
    )
    .bind(operation.to_string())
    .bind(step)
    .bind(phase)
    .bind(at)
    .bind(data)
    .bind(operation.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(crate) async fn list(tx: &mut Tx, operation: OperationId) -> Result<Vec<Row>, DbError> {
    let rows = sqlx::query_as(
        "SELECT seq, step, phase, at, data FROM operation_event WHERE operation_id = $1 ORDER BY seq",
    );
    Ok(rows.bind(operation.to_string()).fetch_all(&mut **tx).await?)
}
