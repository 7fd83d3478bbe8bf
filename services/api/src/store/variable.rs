//! The variables of one configuration version. A secret's value is sealed.

use paastech_db::Tx;
use paastech_types::ProjectId;

use super::{Flag, Result};

/// A row of `variable`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// plain or secret.
    pub(crate) kind: String,
    pub(crate) value: String,
    #[sqlx(try_from = "i64")]
    pub(crate) build: Flag,
    pub(crate) set_at: i64,
}

/// The variables of a version, by name.
pub(crate) async fn list(tx: &mut Tx, project: ProjectId, version: i64) -> Result<Vec<Row>> {
    let rows = sqlx::query_as(
        "SELECT name, kind, value, build, set_at FROM variable \
         WHERE project_id = $1 AND configuration_version = $2 ORDER BY name",
    );
    Ok(rows.bind(project.to_string()).bind(version).fetch_all(&mut **tx).await?)
}

/// Adds a variable to a version.
pub(crate) async fn insert(tx: &mut Tx, project: ProjectId, version: i64, row: &Row) -> Result<()> {
    sqlx::query(
        "INSERT INTO variable (project_id, configuration_version, name, kind, value, build, set_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(project.to_string())
    .bind(version)
    .bind(&row.name)
    .bind(&row.kind)
    .bind(&row.value)
    .bind(i64::from(row.build))
    .bind(row.set_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
