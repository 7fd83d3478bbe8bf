//! The `operation_event` table: an operation's timeline, written in the transaction of its step.

use paastech_db::{DbError, Tx};
use paastech_types::OperationId;

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

/// What the event of its start tells.
pub(crate) async fn start_data(tx: &mut Tx, operation: OperationId) -> Result<Option<String>, DbError> {
    let found = sqlx::query_scalar(
        "SELECT data FROM operation_event WHERE operation_id = $1 AND phase = 'start' ORDER BY seq LIMIT 1",
    );
    Ok(found.bind(operation.to_string()).fetch_optional(&mut **tx).await?)
}
