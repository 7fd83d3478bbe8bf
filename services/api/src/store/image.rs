//! The `image` table: what builds made, found again by what went into them.

use paastech_db::{DbError, Tx};
use paastech_types::{ImageRowId, ProjectId};

/// A row.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) reference: String,
    pub(crate) port: i64,
    pub(crate) processes: String,
    pub(crate) size_bytes: i64,
    /// What built it, as JSON; an empty list for a Dockerfile.
    pub(crate) buildpacks: String,
    /// Empty for a Dockerfile.
    pub(crate) builder: String,
    /// Empty when the source names none.
    pub(crate) health_path: String,
}

/// What `insert` needs.
pub(crate) struct New<'a> {
    pub(crate) id: ImageRowId,
    pub(crate) project_id: ProjectId,
    pub(crate) build_key: &'a str,
    pub(crate) reference: &'a str,
    pub(crate) engine_id: &'a str,
    pub(crate) size_bytes: i64,
    pub(crate) port: i64,
    pub(crate) processes: &'a str,
    pub(crate) buildpacks: &'a str,
    pub(crate) builder: &'a str,
    pub(crate) health_path: &'a str,
    pub(crate) commit_oid: &'a str,
    pub(crate) tree_oid: &'a str,
    pub(crate) now: i64,
}

const COLUMNS: &str = "id, reference, port, processes, size_bytes, buildpacks, builder, health_path";

/// Inserts the image, or answers with the one that the same inputs made before.
pub(crate) async fn ensure(tx: &mut Tx, new: New<'_>) -> Result<Row, DbError> {
    sqlx::query(
        "INSERT INTO image (id, project_id, build_key, reference, engine_id, size_bytes, port, processes, commit_oid, \
         tree_oid, created_at, buildpacks, builder, health_path) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
         ON CONFLICT (project_id, build_key) DO UPDATE SET reference = excluded.reference, \
         engine_id = excluded.engine_id, size_bytes = excluded.size_bytes, port = excluded.port, \
         processes = excluded.processes, buildpacks = excluded.buildpacks, builder = excluded.builder, \
         health_path = excluded.health_path, created_at = excluded.created_at",
    )
    .bind(new.id.to_string())
    .bind(new.project_id.to_string())
    .bind(new.build_key)
    .bind(new.reference)
    .bind(new.engine_id)
    .bind(new.size_bytes)
    .bind(new.port)
    .bind(new.processes)
    .bind(new.commit_oid)
    .bind(new.tree_oid)
    .bind(new.now)
    .bind(new.buildpacks)
    .bind(new.builder)
    .bind(new.health_path)
    .execute(&mut **tx)
    .await?;
    find(tx, new.project_id, new.build_key).await?.ok_or(DbError::Corrupt("image"))
}

pub(crate) async fn find(tx: &mut Tx, project: ProjectId, build_key: &str) -> Result<Option<Row>, DbError> {
    let text = format!("SELECT {COLUMNS} FROM image WHERE project_id = $1 AND build_key = $2");
    let row = sqlx::query_as(sqlx::AssertSqlSafe(text));
    Ok(row.bind(project.to_string()).bind(build_key).fetch_optional(&mut **tx).await?)
}

/// The last that was built of a tree, whatever else went into it.
pub(crate) async fn newest_of_tree(
    tx: &mut Tx,
    project: ProjectId,
    tree: &str,
) -> Result<Option<Row>, DbError> {
    let text = format!(
        "SELECT {COLUMNS} FROM image WHERE project_id = $1 AND tree_oid = $2 ORDER BY created_at DESC, id DESC LIMIT 1"
    );
    let row = sqlx::query_as(sqlx::AssertSqlSafe(text));
    Ok(row.bind(project.to_string()).bind(tree).fetch_optional(&mut **tx).await?)
}

pub(crate) async fn get(tx: &mut Tx, project: ProjectId, id: &str) -> Result<Option<Row>, DbError> {
    let text = format!("SELECT {COLUMNS} FROM image WHERE project_id = $1 AND id = $2");
    let row = sqlx::query_as(sqlx::AssertSqlSafe(text));
    Ok(row.bind(project.to_string()).bind(id).fetch_optional(&mut **tx).await?)
}

/// The references of the images that the active release or one of the `keep` newest needs, or that are too new for
/// anybody to know.
pub(crate) async fn list_kept(
    tx: &mut Tx,
    project: ProjectId,
    keep: i64,
    made_before: i64,
) -> Result<Vec<String>, DbError> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT reference FROM image WHERE project_id = $1 AND (created_at >= $2 OR EXISTS \
         (SELECT 1 FROM release r JOIN project p ON p.id = r.project_id WHERE r.image_id = image.id \
         AND (r.id = p.active_release_id OR r.seq > \
         (SELECT MAX(n.seq) FROM release n WHERE n.project_id = p.id) - $3))) ORDER BY id",
    )
    .bind(project.to_string())
    .bind(made_before)
    .bind(keep)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|(reference,)| reference).collect())
}
