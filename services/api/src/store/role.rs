//! Roles: named sets of permissions, for a project or for the installation.

use paastech_db::Tx;
use paastech_types::{AccountId, ProjectId, RoleId};

use super::Result;

/// A row of `role`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Row {
    #[sqlx(try_from = "String")]
    pub(crate) id: RoleId,
    pub(crate) name: String,
    pub(crate) scope: String,
}

/// Every role.
pub(crate) async fn list(tx: &mut Tx) -> Result<Vec<Row>> {
    Ok(sqlx::query_as("SELECT id, name, scope FROM role ORDER BY id").fetch_all(&mut **tx).await?)
}

/// The role with this name.
pub(crate) async fn by_name(tx: &mut Tx, name: &str) -> Result<Option<Row>> {
    let row = sqlx::query_as("SELECT id, name, scope FROM role WHERE name = $1");
    Ok(row.bind(name).fetch_optional(&mut **tx).await?)
}

/// The permissions of a role, by name.
pub(crate) async fn permissions(tx: &mut Tx, role: RoleId) -> Result<Vec<String>> {
    let names =
        sqlx::query_scalar("SELECT permission FROM role_permission WHERE role_id = $1 ORDER BY permission");
    Ok(names.bind(role.to_string()).fetch_all(&mut **tx).await?)
}

/// What an account may do to a project: by its membership there, and by its role in the installation.
pub(crate) async fn permissions_in(
    tx: &mut Tx,
    account: AccountId,
    project: ProjectId,
) -> Result<Vec<String>> {
    let names = sqlx::query_scalar(
        "SELECT permission FROM role_permission WHERE role_id IN ( \
           SELECT role_id FROM membership WHERE account_id = $1 AND project_id = $2 \
           UNION SELECT role_id FROM account WHERE id = $1)",
    );
    Ok(names.bind(account.to_string()).bind(project.to_string()).fetch_all(&mut **tx).await?)
}
