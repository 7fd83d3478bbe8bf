//! Configuration versions: each change copies the variables, so that a release can keep the ones it was made with.

use paastech_db::Tx;
use paastech_types::{AccountId, ProjectId};

use super::Result;

/// Adds the row of a version; its variables follow.
pub(crate) async fn insert(
    tx: &mut Tx,
    project: ProjectId,
    version: i64,
    created_by: AccountId,
    now: i64,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO configuration (project_id, version, created_by, created_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(project.to_string())
    .bind(version)
    .bind(created_by.to_string())
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The highest version there has ever been; 0 = none.
pub(crate) async fn latest(tx: &mut Tx, project: ProjectId) -> Result<i64> {
    let version =
        sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM configuration WHERE project_id = $1");
    Ok(version.bind(project.to_string()).fetch_one(&mut **tx).await?)
}
