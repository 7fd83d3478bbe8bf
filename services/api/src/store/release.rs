//! The `release` table: an image and a configuration version under a number that rises per project.

use paastech_db::{DbError, Tx};
use paastech_types::{ProjectId, ReleaseId};

/// A row.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) seq: i64,
    pub(crate) image_id: String,
    pub(crate) configuration_version: i64,
    pub(crate) commit_oid: String,
    pub(crate) reason: String,
    pub(crate) rollback_of: Option<String>,
    pub(crate) operation_id: Option<String>,
    pub(crate) created_by: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) deployed_at: Option<i64>,
}

/// What `insert` needs.
pub(crate) struct New<'a> {
    pub(crate) id: ReleaseId,
    pub(crate) project_id: ProjectId,
    pub(crate) image_id: &'a str,
    pub(crate) configuration_version: i64,
    pub(crate) commit_oid: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) rollback_of: Option<&'a str>,
    pub(crate) operation_id: &'a str,
    pub(crate) created_by: Option<&'a str>,
    pub(crate) now: i64,
}

pub(crate) async fn insert(tx: &mut Tx, new: New<'_>) -> Result<Row, DbError> {
    let row = sqlx::query_as(
        "INSERT INTO release (id, project_id, seq, image_id, configuration_version, commit_oid, reason, rollback_of, \
         operation_id, created_by, created_at) \
         SELECT $1, $2, COALESCE(MAX(seq), 0) + 1, $3, CAST($4 AS BIGINT), $5, $6, $7, $8, $9, CAST($10 AS BIGINT) \
         FROM release WHERE project_id = $11 RETURNING *",
    )
    .bind(new.id.to_string())
    .bind(new.project_id.to_string())
    .bind(new.image_id)
    .bind(new.configuration_version)
    .bind(new.commit_oid)
    .bind(new.reason)
    .bind(new.rollback_of)
    .bind(new.operation_id)
    .bind(new.created_by)
    .bind(new.now)
    .bind(new.project_id.to_string())
    .fetch_one(&mut **tx)
    .await?;
    Ok(row)
}

/// Every release and its project.
pub(crate) async fn list_ids(tx: &mut Tx) -> Result<Vec<(String, String)>, DbError> {
    Ok(sqlx::query_as("SELECT id, project_id FROM release").fetch_all(&mut **tx).await?)
}

pub(crate) async fn get(tx: &mut Tx, project: ProjectId, id: &str) -> Result<Option<Row>, DbError> {
    let row = sqlx::query_as("SELECT * FROM release WHERE project_id = $1 AND id = $2");
    Ok(row.bind(project.to_string()).bind(id).fetch_optional(&mut **tx).await?)
}

pub(crate) async fn find_by_seq(tx: &mut Tx, project: ProjectId, seq: i64) -> Result<Option<Row>, DbError> {
    let row = sqlx::query_as("SELECT * FROM release WHERE project_id = $1 AND seq = $2");
    Ok(row.bind(project.to_string()).bind(seq).fetch_optional(&mut **tx).await?)
}

/// The release that an operation made, if it came that far.
pub(crate) async fn find_by_operation(
    tx: &mut Tx,
    project: ProjectId,
    operation: &str,
) -> Result<Option<Row>, DbError> {
    let row = sqlx::query_as("SELECT * FROM release WHERE project_id = $1 AND operation_id = $2");
    Ok(row.bind(project.to_string()).bind(operation).fetch_optional(&mut **tx).await?)
}

/// A project's releases, newest first, below the number `below`.
pub(crate) async fn list(
    tx: &mut Tx,
    project: ProjectId,
    below: Option<i64>,
    limit: i64,
) -> Result<Vec<Row>, DbError> {
    let rows =
        sqlx::query_as("SELECT * FROM release WHERE project_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3");
    let rows = rows.bind(project.to_string()).bind(below.unwrap_or(i64::MAX)).bind(limit);
    Ok(rows.fetch_all(&mut **tx).await?)
}

pub(crate) async fn set_deployed(tx: &mut Tx, id: &str, now: i64) -> Result<(), DbError> {
    sqlx::query("UPDATE release SET deployed_at = $1 WHERE id = $2")
        .bind(now)
        .bind(id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
