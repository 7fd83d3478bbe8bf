//! The `operation` table: what was accepted, and how far it is.

mod claim;

use paastech_db::{DbError, Tx};
use paastech_types::{AccountId, OperationId, ProjectId};
use serde::{Deserialize, Serialize};

#[cfg(test)]
pub(crate) use self::claim::LEASE_MS;
pub(crate) use self::claim::{
    Claim, Progress, advance, claim, fence, finish, free_claims, heartbeat, release, set_reason,
};

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Build,
    Deploy,
    Stop,
    Start,
    Delete,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Build, Self::Deploy, Self::Stop, Self::Start, Self::Delete];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Deploy => "deploy",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Delete => "delete",
        }
    }

    /// One operation of a lane runs per project, and one waits.
    pub(crate) fn lane(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Deploy | Self::Stop | Self::Start | Self::Delete => "deploy",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, DbError> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(DbError::Corrupt("operation kind"))
    }
}

/// The last state of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    Failed,
    Cancelled,
    Superseded,
    Quarantined,
}

impl End {
    pub(crate) const ALL: [Self; 5] =
        [Self::Done, Self::Failed, Self::Cancelled, Self::Superseded, Self::Quarantined];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
            Self::Quarantined => "quarantined",
        }
    }
}

/// A row.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) project_id: String,
    pub(crate) kind: String,
    pub(crate) state: String,
    pub(crate) step: String,
    pub(crate) input: String,
    pub(crate) commit_oid: Option<String>,
    pub(crate) release_id: Option<String>,
    pub(crate) attempt: i64,
    pub(crate) deadline_at: i64,
    pub(crate) fence: i64,
    pub(crate) cancel_requested: i64,
    pub(crate) error_code: Option<String>,
    pub(crate) error_text: Option<String>,
    pub(crate) created_by: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) ended_at: Option<i64>,
    pub(crate) version: i64,
}

impl Row {
    pub(crate) fn id(&self) -> Result<OperationId, DbError> {
        self.id.parse().map_err(|_| DbError::Corrupt("operation id"))
    }

    pub(crate) fn project_id(&self) -> Result<ProjectId, DbError> {
        self.project_id.parse().map_err(|_| DbError::Corrupt("project id"))
    }

    pub(crate) fn created_by(&self) -> Result<Option<AccountId>, DbError> {
        let id = self.created_by.as_deref().map(str::parse).transpose();
        id.map_err(|_| DbError::Corrupt("account id"))
    }

    pub(crate) fn kind(&self) -> Result<Kind, DbError> {
        Kind::parse(&self.kind)
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state.as_str(), "queued" | "running" | "undoing")
    }
}

/// What `insert` needs; ids and times come from the caller.
pub(crate) struct New<'a> {
    pub(crate) id: OperationId,
    pub(crate) project_id: ProjectId,
    pub(crate) kind: Kind,
    pub(crate) step: &'a str,
    pub(crate) input: &'a str,
    pub(crate) commit_oid: Option<&'a str>,
    pub(crate) created_by: Option<AccountId>,
    pub(crate) now: i64,
    pub(crate) next_run_at: i64,
    pub(crate) deadline_at: i64,
}

pub(crate) async fn insert(tx: &mut Tx, new: New<'_>) -> Result<Row, DbError> {
    let row = sqlx::query_as(
        "INSERT INTO operation (id, project_id, kind, lane, state, step, input, commit_oid, next_run_at, deadline_at, \
         created_by, created_at) VALUES ($1, $2, $3, $4, 'queued', $5, $6, $7, $8, $9, $10, $11) RETURNING *",
    )
    .bind(new.id.to_string())
    .bind(new.project_id.to_string())
    .bind(new.kind.name())
    .bind(new.kind.lane())
    .bind(new.step)
    .bind(new.input)
    .bind(new.commit_oid)
    .bind(new.next_run_at)
    .bind(new.deadline_at)
    .bind(new.created_by.map(|id| id.to_string()))
    .bind(new.now)
    .fetch_one(&mut **tx)
    .await?;
    Ok(row)
}

pub(crate) async fn get(tx: &mut Tx, id: OperationId) -> Result<Option<Row>, DbError> {
    let row = sqlx::query_as("SELECT * FROM operation WHERE id = $1");
    Ok(row.bind(id.to_string()).fetch_optional(&mut **tx).await?)
}

/// Which operations to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kinds {
    All,
    /// Those that built code, or are about to.
    Builds,
}

/// A project's operations, newest first, before the id `before`.
pub(crate) async fn list(
    tx: &mut Tx,
    project: ProjectId,
    kinds: Kinds,
    before: Option<&str>,
    limit: i64,
) -> Result<Vec<Row>, DbError> {
    let rows = sqlx::query_as(
        "SELECT * FROM operation WHERE project_id = $1 AND id < $2 AND ($3 = 0 OR kind = 'build' \
         OR step IN ('source', 'build', 'follow') OR EXISTS (SELECT 1 FROM operation_event AS event \
         WHERE event.operation_id = operation.id AND event.step = 'source')) ORDER BY id DESC LIMIT $4",
    )
    .bind(project.to_string())
    .bind(before.unwrap_or("~"))
    .bind(i64::from(kinds == Kinds::Builds))
    .bind(limit)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows)
}

/// The operations of one lane that have not ended, oldest first.
pub(crate) async fn list_open(tx: &mut Tx, project: ProjectId, lane: &str) -> Result<Vec<Row>, DbError> {
    let rows = sqlx::query_as(
        "SELECT * FROM operation WHERE project_id = $1 AND lane = $2 \
         AND state IN ('queued', 'running', 'undoing') ORDER BY id",
    )
    .bind(project.to_string())
    .bind(lane)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows)
}

/// How many operations of a kind are in a state.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Count {
    pub(crate) kind: String,
    pub(crate) state: String,
    pub(crate) number: i64,
}

/// Those that have not ended, of all projects.
pub(crate) async fn count_open(tx: &mut Tx) -> Result<Vec<Count>, DbError> {
    let rows = sqlx::query_as(
        "SELECT kind, state, COUNT(*) AS number FROM operation \
         WHERE state IN ('queued', 'running', 'undoing') GROUP BY kind, state",
    );
    Ok(rows.fetch_all(&mut **tx).await?)
}

/// The newest deployment of a commit.
pub(crate) async fn find_deploy(
    tx: &mut Tx,
    project: ProjectId,
    commit: &str,
) -> Result<Option<Row>, DbError> {
    let row = sqlx::query_as(
        "SELECT * FROM operation WHERE project_id = $1 AND kind = 'deploy' AND commit_oid = $2 \
         ORDER BY id DESC LIMIT 1",
    )
    .bind(project.to_string())
    .bind(commit)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row)
}

/// Why an operation did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) code: String,
    pub(crate) text: String,
}

/// Ends an operation that nobody has claimed. `false`: somebody has, or it has ended.
pub(crate) async fn finish_queued(
    tx: &mut Tx,
    id: OperationId,
    end: End,
    reason: &Reason,
    now: i64,
) -> Result<bool, DbError> {
    let done = sqlx::query(
        "UPDATE operation SET state = $1, error_code = $2, error_text = $3, ended_at = $4, version = version + 1 \
         WHERE id = $5 AND state = 'queued'",
    )
    .bind(end.name())
    .bind(&reason.code)
    .bind(&reason.text)
    .bind(now)
    .bind(id.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Asks whoever runs the operation to end it; the code says why.
pub(crate) async fn request_cancel(tx: &mut Tx, id: OperationId) -> Result<bool, DbError> {
    let done = sqlx::query(
        "UPDATE operation SET cancel_requested = 1, version = version + 1 \
         WHERE id = $1 AND state IN ('running', 'undoing', 'queued')",
    )
    .bind(id.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Makes a waiting operation due now, at `step`, with the input that it waited for.
pub(crate) async fn make_due(
    tx: &mut Tx,
    id: OperationId,
    step: &str,
    input: &str,
    now: i64,
) -> Result<bool, DbError> {
    let done = sqlx::query(
        "UPDATE operation SET step = $1, input = $2, next_run_at = $3, version = version + 1 \
         WHERE id = $4 AND state = 'queued'",
    )
    .bind(step)
    .bind(input)
    .bind(now)
    .bind(id.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Builds that wait for their source.
pub(crate) async fn list_waiting_for_source(tx: &mut Tx) -> Result<Vec<Row>, DbError> {
    let rows = sqlx::query_as("SELECT * FROM operation WHERE state = 'queued' AND step = 'source'");
    Ok(rows.fetch_all(&mut **tx).await?)
}

/// An operation that has not ended, and until when somebody works on it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Open {
    pub(crate) id: String,
    pub(crate) project_id: String,
    pub(crate) kind: String,
    pub(crate) state: String,
    next_run_at: i64,
    lease_expires: Option<i64>,
}

impl Open {
    /// Since when somebody should work on it.
    pub(crate) fn due_since(&self) -> i64 {
        self.lease_expires.map_or(self.next_run_at, |expires| expires.max(self.next_run_at))
    }
}

/// Every operation that has not ended.
pub(crate) async fn list_leases(tx: &mut Tx) -> Result<Vec<Open>, DbError> {
    let rows = sqlx::query_as(
        "SELECT id, project_id, kind, state, next_run_at, lease_expires FROM operation \
         WHERE state IN ('queued', 'running', 'undoing') ORDER BY id",
    );
    Ok(rows.fetch_all(&mut **tx).await?)
}
