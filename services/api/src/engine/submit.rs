//! Accepting an operation: the newest of a lane waits, what waited before it is superseded.

use paastech_db::{DbError, Tx};
use paastech_runtime::trace::Trace;
use paastech_types::{AccountId, OperationId, ProjectId};
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::{
    metrics,
    store::{
        desired,
        operation::{self, End, Kind, Reason, Row},
        operation_event,
    },
};

/// What each kind works from; stored as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Input {
    /// A pushed commit's tree, which Pomegranate gets as a source under the operation's id.
    Build {
        push: String,
        commit: String,
        tree: String,
    },
    /// A commit of the repository; with `record_only`, a release is made and not deployed.
    DeployCommit {
        commit: String,
        reason: String,
        record_only: bool,
    },
    /// An earlier release: its image, and its configuration unless the present one is kept.
    DeployRelease {
        release: String,
        keep_configuration: bool,
    },
    /// The active release's image under the newest configuration.
    Reconfigure,
    Stop,
    Start,
    Delete,
}

impl Input {
    fn kind(&self) -> Kind {
        match self {
            Self::Build { .. } => Kind::Build,
            Self::DeployCommit { .. } | Self::DeployRelease { .. } | Self::Reconfigure => Kind::Deploy,
            Self::Stop => Kind::Stop,
            Self::Start => Kind::Start,
            Self::Delete => Kind::Delete,
        }
    }

    fn commit(&self) -> Option<&str> {
        match self {
            Self::Build { commit, .. } | Self::DeployCommit { commit, .. } => Some(commit),
            _ => None,
        }
    }

    fn first_step(&self) -> &'static str {
        match self {
            Self::Build { .. } => "source",
            Self::DeployCommit { .. } | Self::DeployRelease { .. } | Self::Reconfigure => "resolve",
            Self::Stop => "stop",
            Self::Start => "clear",
            Self::Delete => "containers",
        }
    }
}

/// What the event of an operation's start tells.
#[derive(Serialize, Deserialize)]
pub(super) struct Started {
    traceparent: String,
}

impl Started {
    fn here() -> String {
        let started = Self { traceparent: Trace::current().traceparent() };
        serde_json::to_string(&started).expect("a text is JSON")
    }

    /// The trace in which it was asked for.
    pub(super) fn parse(data: &str) -> Option<Trace> {
        Trace::parse(&serde_json::from_str::<Self>(data).ok()?.traceparent)
    }
}

/// An operation to accept.
pub(crate) struct NewOperation {
    pub(crate) project_id: ProjectId,
    pub(crate) input: Input,
    pub(crate) created_by: Option<AccountId>,
}

/// Accepts an operation inside the caller's transaction; `Engine::wake` after the commit makes it start at once. What
/// one that waits will do anyway is answered with that one.
pub(crate) async fn submit(engine: &Engine, tx: &mut Tx, new: NewOperation) -> Result<Row, DbError> {
    desired::lock(tx, new.project_id).await?;
    let kind = new.input.kind();
    let now = engine.clock.now_ms();
    for other in operation::list_open(tx, new.project_id, kind.lane()).await? {
        let is_delete = other.kind()? == Kind::Delete;
        if kind == Kind::Delete {
            if is_delete {
                return Ok(other);
            }
            cancel(engine, tx, &other, "superseded", "the project is being deleted").await?;
        } else if other.state == "queued" && !is_delete {
            if is_carried_by(&new.input, &other)? {
                return Ok(other);
            }
            let reason = reason("superseded", "a newer operation took its place");
            end_queued(tx, &other, End::Superseded, &reason, now).await?;
        }
    }
    let id = OperationId::new();
    let deadline = i64::from(engine.config.operation_deadline_seconds) * 1000;
    // A build waits for its source; whoever brings it makes the build due.
    let next_run_at = if kind == Kind::Build { i64::MAX } else { now };
    let input = serde_json::to_string(&new.input).map_err(|_| DbError::Corrupt("operation input"))?;
    let row = operation::insert(
        tx,
        operation::New {
            id,
            project_id: new.project_id,
            kind,
            step: new.input.first_step(),
            input: &input,
            commit_oid: new.input.commit(),
            created_by: new.created_by,
            now,
            next_run_at,
            deadline_at: now + deadline,
        },
    )
    .await?;
    operation_event::append(tx, id, &row.step, "start", now, &Started::here()).await?;
    Ok(row)
}

/// Whether the deployment of a commit that waits brings about what is asked for: it reads the configuration when its
/// turn comes, and starts the app.
fn is_carried_by(input: &Input, waiting: &Row) -> Result<bool, DbError> {
    let asked = matches!(input, Input::Reconfigure | Input::Start);
    Ok(asked && matches!(waiting.input()?, Input::DeployCommit { record_only: false, .. }))
}

/// The waiting operation on a commit that this one would push aside: what was pushed is never lost by it.
pub(crate) async fn in_the_way(
    tx: &mut Tx,
    project: ProjectId,
    input: &Input,
) -> Result<Option<Row>, DbError> {
    if !matches!(input, Input::Stop | Input::Start | Input::Reconfigure) {
        return Ok(None);
    }
    for row in operation::list_open(tx, project, "deploy").await? {
        let is_commit = row.state == "queued" && matches!(row.input()?, Input::DeployCommit { .. });
        if is_commit && !is_carried_by(input, &row)? {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

impl Row {
    /// Whether an app is live because of it.
    pub(crate) fn made_live(&self) -> bool {
        let records = matches!(self.input(), Ok(Input::DeployCommit { record_only: true, .. }));
        self.state == "done" && matches!(self.kind.as_str(), "deploy" | "start") && !records
    }

    pub(crate) fn input(&self) -> Result<Input, DbError> {
        serde_json::from_str(&self.input).map_err(|_| DbError::Corrupt("operation input"))
    }
}

/// Ends a waiting operation, or asks a running one to end. `false`: it has ended already, or deletes its project, which
/// nothing takes back.
pub(crate) async fn cancel(
    engine: &Engine,
    tx: &mut Tx,
    row: &Row,
    code: &str,
    text: &str,
) -> Result<bool, DbError> {
    if row.kind()? == Kind::Delete {
        return Ok(false);
    }
    let now = engine.clock.now_ms();
    if end_queued(tx, row, End::Cancelled, &reason(code, text), now).await? {
        return Ok(true);
    }
    operation::request_cancel(tx, row.id()?).await
}

/// Ends an operation that nobody has claimed. `false`: somebody has, or it has ended.
pub(super) async fn end_queued(
    tx: &mut Tx,
    row: &Row,
    end: End,
    reason: &Reason,
    now: i64,
) -> Result<bool, DbError> {
    let id = row.id()?;
    let ended = operation::finish_queued(tx, id, end, reason, now).await?;
    if ended {
        operation_event::append(tx, id, &row.step, "end", now, "{}").await?;
        metrics::count_end(&row.kind, end);
    }
    Ok(ended)
}

pub(crate) fn reason(code: &str, text: impl Into<String>) -> Reason {
    Reason { code: code.to_owned(), text: text.into() }
}
