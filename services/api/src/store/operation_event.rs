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
