//! The `container` table: what runs, as last told by Pomegranate.

use paastech_db::{DbError, Tx};
use paastech_proto::pomegranate::Container;
use paastech_types::ProjectId;

/// Replaces what is known of a project's containers.
pub(crate) async fn replace(
    tx: &mut Tx,
    project: ProjectId,
    containers: &[Container],
    now: i64,
) -> Result<(), DbError> {
    sqlx::query("DELETE FROM container WHERE project_id = $1")
        .bind(project.to_string())
        .execute(&mut **tx)
        .await?;
    for container in containers {
        sqlx::query(
            "INSERT INTO container (name, project_id, release_id, process, ordinal, engine_id, state, seen_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&container.name)
        .bind(project.to_string())
        .bind(&container.release_id)
        .bind(&container.process)
        .bind(i64::from(container.ordinal))
        .bind(&container.id)
        .bind(&container.state)
        .bind(now)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}
