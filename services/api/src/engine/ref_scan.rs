//! The scan that heals lost calls: a deploy branch that moved without its deployment gets one, a build whose pusher
//! never brought the source ends, and a deletion that failed is tried again.

use paastech_db::DbError;
use paastech_proto::git::ListRefsRequest;
use paastech_types::ProjectId;

use super::{Engine, NewOperation, submit, submit::Input};
use crate::store::{
    desired,
    operation::{self, End},
};

pub(crate) async fn pass(engine: &Engine) -> anyhow::Result<()> {
    end_abandoned(engine).await?;
    delete_again(engine).await?;
    let mut tx = engine.db.read().await?;
    let projects = desired::list_live(&mut tx).await?;
    drop(tx);
    for project in projects {
        let name = format!("refs/heads/{}", project.deploy_branch);
        let request = ListRefsRequest { project_id: project.id.clone(), prefix: name.clone() };
        let refs = match engine.git.clone().list_refs(request).await {
            Ok(answer) => answer.into_inner().refs,
            Err(status) => {
                tracing::warn!(project.id = project.id, error = status.message(), "refs cannot be read");
                continue;
            }
        };
        let Some(head) = refs.into_iter().find(|found| found.name == name) else { continue };
        if project.head_oid.as_deref() == Some(head.oid.as_str()) {
            continue;
        }
        let id = project.id()?;
        let mut tx = engine.db.begin().await?;
        let deploy = on_head(engine, &mut tx, &project, &head.oid, None).await?;
        tx.commit().await?;
        if deploy.is_some() {
            tracing::info!(project.id = %id, commit = head.oid, "a push whose end was lost gets its deployment");
            engine.wake();
        }
    }
    Ok(())
}

/// The deploy branch of a project is at `commit`: opens the deployment, once per move. `None`: somebody else has.
pub(crate) async fn on_head(
    engine: &Engine,
    tx: &mut paastech_db::Tx,
    project: &desired::Row,
    commit: &str,
    by: Option<paastech_types::AccountId>,
) -> Result<Option<operation::Row>, DbError> {
    // The scan was faster than the push's own word.
    if project.head_oid.as_deref() == Some(commit) {
        return Ok(None);
    }
    let id: ProjectId = project.id()?;
    let record_only = project.auto_deploy == 0;
    desired::lock(tx, id).await?;
    if record_only && another_waits(tx, id).await? {
        return Ok(None);
    }
    if !desired::move_head(tx, id, project.head_oid.as_deref(), commit).await? {
        return Ok(None);
    }
    let input = Input::DeployCommit { commit: commit.to_owned(), reason: "push".to_owned(), record_only };
    Ok(Some(submit(engine, tx, NewOperation { project_id: id, input, created_by: by }).await?))
}

/// What only records a commit waits, for the scan, until it pushes nothing aside that changes the running app.
async fn another_waits(tx: &mut paastech_db::Tx, project: ProjectId) -> Result<bool, DbError> {
    for row in operation::list_open(tx, project, "deploy").await? {
        let records = matches!(row.input()?, Input::DeployCommit { record_only: true, .. });
        if row.state == "queued" && !records {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A deletion that was accepted comes to its end, however often it fails.
async fn delete_again(engine: &Engine) -> Result<(), DbError> {
    let mut tx = engine.db.begin().await?;
    let undead = desired::list_undead(&mut tx).await?;
    for project in &undead {
        tracing::warn!(project.id = project.id, "a deletion ended early and is tried again");
        let new = NewOperation { project_id: project.id()?, input: Input::Delete, created_by: None };
        submit(engine, &mut tx, new).await?;
    }
    tx.commit().await?;
    if !undead.is_empty() {
        engine.wake();
    }
    Ok(())
}

async fn end_abandoned(engine: &Engine) -> Result<(), DbError> {
    let mut tx = engine.db.read().await?;
    let waiting = operation::list_waiting_for_source(&mut tx).await?;
    drop(tx);
    for row in waiting {
        let Ok(Input::Build { push, .. }) = serde_json::from_str(&row.input) else { continue };
        let Ok(push) = push.parse() else { continue };
        if !engine.followers.is_abandoned(push) {
            continue;
        }
        let reason = super::submit::reason("interrupted", "the push ended before its build: push again");
        let now = engine.clock.now_ms();
        let mut tx = engine.db.begin().await?;
        submit::end_queued(&mut tx, &row, End::Failed, &reason, now).await?;
        tx.commit().await?;
        engine.followers.forget(push);
        engine.wake();
    }
    Ok(())
}
