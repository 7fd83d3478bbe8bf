//! Projects. Nothing here asks who calls: HTTP and control reach these rows through `auth::access` alone.

use paastech_db::{DbError, Tx};
use paastech_types::{AccountId, ProjectId, ReleaseId};

use super::{Flag, Maybe, Page, Result};

/// A row of `project`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Row {
    #[sqlx(try_from = "String")]
    pub(crate) id: ProjectId,
    #[sqlx(try_from = "String")]
    pub(crate) owner_id: AccountId,
    pub(crate) slug: String,
    pub(crate) deploy_branch: String,
    #[sqlx(try_from = "i64")]
    pub(crate) auto_deploy: Flag,
    pub(crate) health_path: Option<String>,
    /// Wrapped by the key of the installation.
    pub(crate) data_key: String,
    pub(crate) configuration_version: i64,
    /// running, stopped or deleted.
    pub(crate) desired_state: String,
    #[sqlx(try_from = "Option<String>")]
    pub(crate) active_release_id: Maybe<ReleaseId>,
    pub(crate) fence: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) version: i64,
}

impl Row {
    /// Whether its owner has deleted it.
    pub(crate) fn is_deleted(&self) -> bool {
        self.desired_state == "deleted"
    }
}

/// What a new project is made of.
pub(crate) struct New<'a> {
    pub(crate) id: ProjectId,
    pub(crate) owner_id: AccountId,
    pub(crate) slug: &'a str,
    pub(crate) deploy_branch: &'a str,
    pub(crate) auto_deploy: Flag,
    pub(crate) health_path: Option<&'a str>,
    pub(crate) data_key: &'a str,
    pub(crate) now: i64,
}

/// Adds a project; a slug that its owner uses already is `Duplicate`.
pub(crate) async fn insert(tx: &mut Tx, new: New<'_>) -> Result<Row> {
    let row = sqlx::query_as(
        "INSERT INTO project (id, owner_id, slug, deploy_branch, auto_deploy, health_path, data_key, \
           desired_state, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'running', $8, $8) RETURNING *",
    );
    Ok(row
        .bind(new.id.to_string())
        .bind(new.owner_id.to_string())
        .bind(new.slug)
        .bind(new.deploy_branch)
        .bind(i64::from(new.auto_deploy))
        .bind(new.health_path)
        .bind(new.data_key)
        .bind(new.now)
        .fetch_one(&mut **tx)
        .await?)
}

/// The project with this id, deleted or not.
pub(crate) async fn get(tx: &mut Tx, id: ProjectId) -> Result<Option<Row>> {
    let row = sqlx::query_as("SELECT * FROM project WHERE id = $1");
    Ok(row.bind(id.to_string()).fetch_optional(&mut **tx).await?)
}

/// The living project with this id, held until the transaction's end: what is decided by it stays true.
pub(crate) async fn lock(tx: &mut Tx, id: ProjectId) -> Result<Option<Row>> {
    let row = sqlx::query_as(
        "UPDATE project SET updated_at = updated_at WHERE id = $1 AND desired_state <> 'deleted' RETURNING *",
    );
    Ok(row.bind(id.to_string()).fetch_optional(&mut **tx).await?)
}

/// The living project of this owner with this slug.
pub(crate) async fn by_slug(tx: &mut Tx, owner: AccountId, slug: &str) -> Result<Option<Row>> {
    let row = sqlx::query_as(
        "SELECT * FROM project WHERE owner_id = $1 AND slug = $2 AND desired_state <> 'deleted'",
    );
    Ok(row.bind(owner.to_string()).bind(slug).fetch_optional(&mut **tx).await?)
}

/// The living projects that an account is a member of; `slug` empty = all of them.
pub(crate) async fn list(tx: &mut Tx, account: AccountId, slug: &str, page: &Page) -> Result<Vec<Row>> {
    let rows = sqlx::query_as(
        "SELECT p.* FROM project p JOIN membership m ON m.project_id = p.id AND m.account_id = $1 \
         WHERE p.desired_state <> 'deleted' AND p.id > $2 AND ($3 = '' OR p.slug = $3) ORDER BY p.id LIMIT $4",
    );
    Ok(rows
        .bind(account.to_string())
        .bind(&page.after)
        .bind(slug)
        .bind(page.limit)
        .fetch_all(&mut **tx)
        .await?)
}

/// How many living projects an account owns.
pub(crate) async fn count(tx: &mut Tx, owner: AccountId) -> Result<i64> {
    let count =
        sqlx::query_scalar("SELECT COUNT(*) FROM project WHERE owner_id = $1 AND desired_state <> 'deleted'");
    Ok(count.bind(owner.to_string()).fetch_one(&mut **tx).await?)
}

/// What its owner can change.
pub(crate) struct Settings<'a> {
    pub(crate) slug: &'a str,
    pub(crate) deploy_branch: &'a str,
    pub(crate) auto_deploy: Flag,
    pub(crate) health_path: Option<&'a str>,
}

/// Changes the settings, if nobody has since `version`.
pub(crate) async fn update(
    tx: &mut Tx,
    id: ProjectId,
    version: i64,
    settings: Settings<'_>,
    now: i64,
) -> Result<Option<Row>> {
    let row = sqlx::query_as(
        "UPDATE project SET slug = $3, deploy_branch = $4, auto_deploy = $5, health_path = $6, \
           updated_at = $7, version = version + 1 WHERE id = $1 AND version = $2 RETURNING *",
    );
    Ok(row
        .bind(id.to_string())
        .bind(version)
        .bind(settings.slug)
        .bind(settings.deploy_branch)
        .bind(i64::from(settings.auto_deploy))
        .bind(settings.health_path)
        .bind(now)
        .fetch_optional(&mut **tx)
        .await?)
}

/// Makes a configuration the current one.
pub(crate) async fn set_configuration(tx: &mut Tx, id: ProjectId, version: i64, now: i64) -> Result<()> {
    sqlx::query(
        "UPDATE project SET configuration_version = $2, updated_at = $3, version = version + 1 WHERE id = $1",
    )
    .bind(id.to_string())
    .bind(version)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Every project's wrapped key; a deleted project has none.
pub(crate) async fn list_data_keys(tx: &mut Tx) -> Result<Vec<(ProjectId, String)>> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT id, data_key FROM project WHERE data_key <> '' ORDER BY id")
            .fetch_all(&mut **tx)
            .await?;
    let parse =
        |(id, key): (String, String)| Ok((id.parse().map_err(|_| DbError::Corrupt("project id"))?, key));
    rows.into_iter().map(parse).collect()
}

/// Wraps a project's key anew, if it is still the `old` one.
pub(crate) async fn set_data_key(tx: &mut Tx, id: ProjectId, old: &str, new: &str) -> Result<()> {
    sqlx::query("UPDATE project SET data_key = $3 WHERE id = $1 AND data_key = $2")
        .bind(id.to_string())
        .bind(old)
        .bind(new)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Removes a project that came to nothing, with all that hangs on it.
pub(crate) async fn delete(tx: &mut Tx, id: ProjectId) -> Result<()> {
    sqlx::query("DELETE FROM project WHERE id = $1").bind(id.to_string()).execute(&mut **tx).await?;
    Ok(())
}
