//! Who has which role in which project.

use paastech_db::Tx;
use paastech_types::{AccountId, ProjectId, RoleId};

use super::Result;

/// Gives an account a role in a project.
pub(crate) async fn insert(
    tx: &mut Tx,
    project: ProjectId,
    account: AccountId,
    role: RoleId,
    now: i64,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO membership (project_id, account_id, role_id, created_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(project.to_string())
    .bind(account.to_string())
    .bind(role.to_string())
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
