//! The `project` table as the engine sees it: what should run, which nobody's permission decides.

use paastech_db::{DbError, Tx};
use paastech_types::{ProjectId, ReleaseId};

/// What should be.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) slug: String,
    pub(crate) deploy_branch: String,
    pub(crate) auto_deploy: i64,
    pub(crate) health_path: Option<String>,
    pub(crate) configuration_version: i64,
    pub(crate) desired_state: String,
    pub(crate) active_release_id: Option<String>,
    pub(crate) head_oid: Option<String>,
    pub(crate) fence: i64,
}

impl Row {
    pub(crate) fn id(&self) -> Result<ProjectId, DbError> {
        self.id.parse().map_err(|_| DbError::Corrupt("project id"))
    }
}

const COLUMNS: &str = "id, slug, deploy_branch, auto_deploy, health_path, configuration_version, \
                       desired_state, active_release_id, head_oid, fence";

pub(crate) async fn get(tx: &mut Tx, id: ProjectId) -> Result<Option<Row>, DbError> {
    let text = format!("SELECT {COLUMNS} FROM project WHERE id = $1");
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(text)).bind(id.to_string()).fetch_optional(&mut **tx).await?)
}

/// Holds a project until the transaction's end. Whoever changes a project's operations does this first, so that two
/// who do never wait for each other.
pub(crate) async fn lock(tx: &mut Tx, id: ProjectId) -> Result<Option<Row>, DbError> {
    let text = format!("UPDATE project SET fence = fence WHERE id = $1 RETURNING {COLUMNS}");
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(text)).bind(id.to_string()).fetch_optional(&mut **tx).await?)
}

/// Projects whose deletion was accepted and has ended without deleting them.
pub(crate) async fn list_undead(tx: &mut Tx) -> Result<Vec<Row>, DbError> {
    let text = format!(
        "SELECT {COLUMNS} FROM project p WHERE p.desired_state = 'deleted' AND p.deleted_at IS NULL AND NOT EXISTS \
         (SELECT 1 FROM operation o WHERE o.project_id = p.id AND o.kind = 'delete' \
         AND o.state IN ('queued', 'running', 'undoing')) ORDER BY p.id"
    );
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(text)).fetch_all(&mut **tx).await?)
}

/// Every project that is not deleted or being deleted.
pub(crate) async fn list_live(tx: &mut Tx) -> Result<Vec<Row>, DbError> {
    let text = format!("SELECT {COLUMNS} FROM project WHERE desired_state <> 'deleted' ORDER BY id");
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(text)).fetch_all(&mut **tx).await?)
}

/// The commit point of a deployment: this release is the one that serves.
pub(crate) async fn activate(
    tx: &mut Tx,
    id: ProjectId,
    release: ReleaseId,
    now: i64,
) -> Result<bool, DbError> {
    let done = sqlx::query(
        "UPDATE project SET active_release_id = $1, desired_generation = desired_generation + 1, \
         desired_state = 'running', updated_at = $2, version = version + 1 \
         WHERE id = $3 AND desired_state <> 'deleted'",
    )
    .bind(release.to_string())
    .bind(now)
    .bind(id.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Makes an earlier configuration the present one, unless a newer one has been set since `since`.
pub(crate) async fn restore_configuration(
    tx: &mut Tx,
    id: ProjectId,
    version: i64,
    since: i64,
) -> Result<(), DbError> {
    sqlx::query(
        "UPDATE project SET configuration_version = $1 WHERE id = $2 AND NOT EXISTS \
         (SELECT 1 FROM configuration c WHERE c.project_id = $3 AND c.created_at > $4)",
    )
    .bind(version)
    .bind(id.to_string())
    .bind(id.to_string())
    .bind(since)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Says what should be of the project. A deleted one stays deleted.
pub(crate) async fn set_state(tx: &mut Tx, id: ProjectId, state: &str, now: i64) -> Result<bool, DbError> {
    let done = sqlx::query(
        "UPDATE project SET desired_state = $1, desired_generation = desired_generation + 1, updated_at = $2, \
         version = version + 1 WHERE id = $3 AND desired_state <> 'deleted'",
    )
    .bind(state)
    .bind(now)
    .bind(id.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records that `new` of the deploy branch has its deployment. `false`: the head was not `expected` any more,
/// or the project is being deleted.
pub(crate) async fn move_head(
    tx: &mut Tx,
    id: ProjectId,
    expected: Option<&str>,
    new: &str,
) -> Result<bool, DbError> {
    let done = sqlx::query(
        "UPDATE project SET head_oid = $1 WHERE id = $2 AND COALESCE(head_oid, '') = $3 \
         AND desired_state <> 'deleted'",
    )
    .bind(new)
    .bind(id.to_string())
    .bind(expected.unwrap_or_default())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Drops what hung off a deleted project. Its row and its operations stay as a tombstone.
pub(crate) async fn bury(tx: &mut Tx, id: ProjectId, now: i64) -> Result<(), DbError> {
    let id = id.to_string();
    sqlx::query("UPDATE project SET active_release_id = NULL, deleted_at = $1, data_key = '' WHERE id = $2")
        .bind(now)
        .bind(&id)
        .execute(&mut **tx)
        .await?;
    for text in [
        "DELETE FROM container WHERE project_id = $1",
        "DELETE FROM release WHERE project_id = $1",
        "DELETE FROM image WHERE project_id = $1",
        "DELETE FROM configuration WHERE project_id = $1",
        "DELETE FROM push WHERE project_id = $1",
    ] {
        sqlx::query(text).bind(&id).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Raises every project's fence by one: `(id, fence)`.
pub(crate) async fn raise_fences(tx: &mut Tx) -> Result<Vec<(String, i64)>, DbError> {
    let rows = sqlx::query_as("UPDATE project SET fence = fence + 1 RETURNING id, fence");
    Ok(rows.fetch_all(&mut **tx).await?)
}
