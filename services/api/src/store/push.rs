//! The `push` table: one row per `git push` that reached the hook.

use paastech_db::{DbError, Tx};
use paastech_types::{AccountId, KeyId, OperationId, ProjectId, PushId};

/// A row.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) project_id: String,
    pub(crate) account_id: String,
    pub(crate) state: String,
    pub(crate) action: String,
    pub(crate) commit_oid: Option<String>,
    pub(crate) build_operation_id: Option<String>,
}

impl Row {
    pub(crate) fn project_id(&self) -> Result<ProjectId, DbError> {
        self.project_id.parse().map_err(|_| DbError::Corrupt("project id"))
    }

    pub(crate) fn account_id(&self) -> Result<AccountId, DbError> {
        self.account_id.parse().map_err(|_| DbError::Corrupt("account id"))
    }

    pub(crate) fn build_operation_id(&self) -> Result<Option<OperationId>, DbError> {
        let id = self.build_operation_id.as_deref().map(str::parse).transpose();
        id.map_err(|_| DbError::Corrupt("operation id"))
    }
}

/// What `insert` needs.
pub(crate) struct New<'a> {
    pub(crate) id: PushId,
    pub(crate) project_id: ProjectId,
    pub(crate) account_id: AccountId,
    pub(crate) key_id: Option<KeyId>,
    pub(crate) action: &'a str,
    pub(crate) updates: &'a str,
    pub(crate) commit_oid: Option<&'a str>,
    pub(crate) build_operation_id: Option<OperationId>,
    pub(crate) now: i64,
}

pub(crate) async fn insert(tx: &mut Tx, new: New<'_>) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO push (id, project_id, account_id, key_id, state, action, updates, commit_oid, build_operation_id, \
         created_at) VALUES ($1, $2, $3, $4, 'open', $5, $6, $7, $8, $9)",
    )
    .bind(new.id.to_string())
    .bind(new.project_id.to_string())
    .bind(new.account_id.to_string())
    .bind(new.key_id.map(|id| id.to_string()))
    .bind(new.action)
    .bind(new.updates)
    .bind(new.commit_oid)
    .bind(new.build_operation_id.map(|id| id.to_string()))
    .bind(new.now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(crate) async fn get(tx: &mut Tx, id: PushId) -> Result<Option<Row>, DbError> {
    let row = sqlx::query_as(
        "SELECT project_id, account_id, state, action, commit_oid, build_operation_id FROM push WHERE id = $1",
    );
    Ok(row.bind(id.to_string()).fetch_optional(&mut **tx).await?)
}

pub(crate) async fn set_moved(tx: &mut Tx, id: PushId, deploy: Option<OperationId>) -> Result<(), DbError> {
    sqlx::query("UPDATE push SET state = 'moved', deploy_operation_id = $1 WHERE id = $2")
        .bind(deploy.map(|id| id.to_string()))
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(crate) async fn close(tx: &mut Tx, id: PushId, now: i64) -> Result<(), DbError> {
    sqlx::query(
        "UPDATE push SET state = CASE WHEN state = 'open' THEN 'closed' ELSE state END, ended_at = $1 \
         WHERE id = $2 AND ended_at IS NULL",
    )
    .bind(now)
    .bind(id.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(())
}
