//! A push, from the hook's first call to its last.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use paastech_db::DbError;
use paastech_proto::{
    control::{
        ClosePushRequest, ClosePushResponse, OpenPushRequest, OpenPushResponse, PushAction,
        PutPushSourceRequest, PutPushSourceResponse, RefUpdate, RefsUpdatedRequest, RefsUpdatedResponse,
        put_push_source_request::Part,
    },
    pomegranate::{self, SourceEnd, SourceHeader, put_source_request},
};
use paastech_types::{AccountId, Failure, Kind, Oid, PushId};
use serde_json::json;
use tonic::{Status, Streaming};

use super::{ControlService, parse, refuse};
use crate::{
    auth::permission::Permission,
    engine::{self, Input, NewOperation, source},
    store::{desired, operation, push},
};

/// What the updates ask for, before anybody else's build is looked at.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Store(Vec<String>),
    Build(Oid, Vec<String>),
    Reject(String),
}

/// Sorts the updates of one push: the deploy branch builds, everything else is stored and says so.
fn wish(deploy_branch: &str, updates: &[RefUpdate]) -> Result<Wish, Status> {
    let deploy_ref = format!("refs/heads/{deploy_branch}");
    let mut commit = None;
    let mut lines = Vec::new();
    for update in updates {
        let new: Oid = parse(&update.new_oid, "new_oid")?;
        if update.name != deploy_ref {
            let name = update.name.trim_start_matches("refs/heads/");
            let what = if new.is_zero() { "deleted" } else { "stored" };
            lines.push(format!("{name} is not the deploy branch ({deploy_branch}): {what}, nothing built"));
        } else if new.is_zero() {
            return Ok(Wish::Reject(format!("{deploy_branch} is the deploy branch and cannot be deleted")));
        } else {
            commit = Some(new);
        }
    }
    Ok(match commit {
        Some(commit) => Wish::Build(commit, lines),
        None => Wish::Store(lines),
    })
}

pub(super) async fn open(
    service: &ControlService,
    request: OpenPushRequest,
) -> Result<OpenPushResponse, Status> {
    let id: PushId = parse(&request.push_id, "push_id")?;
    let account: AccountId = parse(&request.account_id, "account_id")?;
    let project = service.authorize(account, &request.project_id, Permission::Push).await?;
    let mut tx = service.engine.db.read().await.map_err(|error| refuse(&error))?;
    if let Some(known) = push::get(&mut tx, id).await.map_err(|error| refuse(&error))? {
        return reopen(&known, &project);
    }
    drop(tx);
    let wish = wish(&project.deploy_branch, &request.updates)?;
    match wish {
        Wish::Reject(text) => Ok(rejected(text)),
        Wish::Store(lines) => {
            record(service, id, account, &request, None).await?;
            Ok(OpenPushResponse { action: PushAction::Store.into(), lines, build_commit: String::new() })
        }
        Wish::Build(commit, mut lines) => {
            match record(service, id, account, &request, Some(&commit)).await? {
                Recorded::Busy(text) => Ok(rejected(text)),
                Recorded::Open(operation) => {
                    lines.push(format!("Building {} as operation {operation}", commit.short()));
                    Ok(OpenPushResponse {
                        action: PushAction::Build.into(),
                        lines,
                        build_commit: commit.to_string(),
                    })
                }
            }
        }
    }
}

fn rejected(text: String) -> OpenPushResponse {
    OpenPushResponse { action: PushAction::Reject.into(), lines: vec![text], build_commit: String::new() }
}

/// The same push again, after the hook lost its connection.
fn reopen(known: &push::Row, project: &desired::Row) -> Result<OpenPushResponse, Status> {
    if known.project_id != project.id {
        return Err(Failure::new(Kind::NotFound, "no such push").into());
    }
    let action = if known.action == "build" { PushAction::Build } else { PushAction::Store };
    let build_commit = known.commit_oid.clone().unwrap_or_default();
    Ok(OpenPushResponse { action: action.into(), lines: Vec::new(), build_commit })
}

enum Recorded {
    Open(String),
    Busy(String),
}

/// Writes the push and, for a build, its operation, once no other build of the project is open.
async fn record(
    service: &ControlService,
    id: PushId,
    account: AccountId,
    request: &OpenPushRequest,
    commit: Option<&Oid>,
) -> Result<Recorded, Status> {
    let engine = &service.engine;
    let project_id = parse(&request.project_id, "project_id")?;
    let updates: Vec<_> = request
        .updates
        .iter()
        .map(|u| json!({ "name": u.name, "old": u.old_oid, "new": u.new_oid }))
        .collect();
    let until = Instant::now() + Duration::from_secs(u64::from(service.builds.wait_seconds));
    loop {
        let attempt = async {
            let mut tx = engine.db.begin().await?;
            let mut opened = None;
            if let Some(commit) = commit {
                desired::lock(&mut tx, project_id).await?;
                if let Some(other) = operation::list_open(&mut tx, project_id, "build").await?.first() {
                    return Ok(Recorded::Busy(other.id.clone()));
                }
                let input =
                    Input::Build { push: id.to_string(), commit: commit.to_string(), tree: String::new() };
                let new = NewOperation { project_id, input, created_by: Some(account) };
                opened = Some(engine::submit(engine, &mut tx, new).await?);
            }
            let new = push::New {
                id,
                project_id,
                account_id: account,
                key_id: request.key_id.parse().ok(),
                action: if commit.is_some() { "build" } else { "store" },
                updates: &json!(updates).to_string(),
                commit_oid: commit.map(Oid::as_str),
                build_operation_id: opened.as_ref().map(operation::Row::id).transpose()?,
                now: engine.clock.now_ms(),
            };
            push::insert(&mut tx, new).await?;
            tx.commit().await?;
            Ok::<_, DbError>(Recorded::Open(opened.map(|row| row.id).unwrap_or_default()))
        };
        match attempt.await {
            Ok(Recorded::Busy(other)) if Instant::now() >= until => {
                let text = format!("another build of this project is running: operation {other}");
                return Ok(Recorded::Busy(format!(
                    "{text}. Wait for it, or end it with: paastech cancel {other}"
                )));
            }
            Ok(Recorded::Busy(_)) => tokio::time::sleep(Duration::from_millis(250)).await,
            Ok(recorded) => return Ok(recorded),
            Err(error) => return Err(refuse(&error)),
        }
    }
}

async fn known(service: &ControlService, id: PushId) -> Result<push::Row, Status> {
    let mut tx = service.engine.db.read().await.map_err(|error| refuse(&error))?;
    let row = push::get(&mut tx, id).await.map_err(|error| refuse(&error))?;
    row.ok_or_else(|| Failure::new(Kind::NotFound, "no such push").into())
}

/// Pipes the source to Pomegranate under the build operation's id, then makes the operation due.
pub(super) async fn put_source(
    service: &ControlService,
    mut parts: Streaming<PutPushSourceRequest>,
) -> Result<PutPushSourceResponse, Status> {
    let first = parts.message().await?.and_then(|message| message.part);
    let Some(Part::Header(header)) = first else {
        return Err(Failure::new(Kind::Invalid, "the first message must be the header").into());
    };
    let id: PushId = parse(&header.push_id, "push_id")?;
    let tree: Oid = parse(&header.tree, "tree")?;
    let row = known(service, id).await?;
    let operation_id = row
        .build_operation_id()
        .map_err(|error| refuse(&error))?
        .ok_or_else(|| Status::from(Failure::new(Kind::Invalid, "this push builds nothing")))?;
    let _following = service.engine.followers.follow(id);
    let engine = &service.engine;
    let mut tx = engine.db.read().await.map_err(|error| refuse(&error))?;
    let operation = operation::get(&mut tx, operation_id).await.map_err(|error| refuse(&error))?;
    let project_id = row.project_id().map_err(|error| refuse(&error))?;
    let project = desired::get(&mut tx, project_id).await.map_err(|error| refuse(&error))?;
    drop(tx);
    let (Some(operation), Some(project)) = (operation, project) else {
        return Err(Failure::new(Kind::NotFound, "no such push").into());
    };
    let answer = PutPushSourceResponse { operation_id: operation.id.clone() };
    if operation.state != "queued" || operation.step != "source" {
        // The build has its source already, or has ended.
        while parts.message().await?.is_some() {}
        return Ok(answer);
    }
    let scope = pomegranate::Scope { project_id: project.id, fence: project.fence };
    let first = SourceHeader { scope: Some(scope), source_id: operation.id.clone() };
    let parts = parts.map(|message| match message?.part {
        Some(Part::Chunk(chunk)) => Ok(put_source_request::Part::Chunk(chunk)),
        Some(Part::End(_)) => Ok(put_source_request::Part::End(SourceEnd {})),
        _ => Err(Failure::new(Kind::Invalid, "only chunks may follow the header").into()),
    });
    source::put(engine.pomegranate.clone(), first, parts.boxed()).await.map_err(|status| {
        match status.code() {
            // The fence has moved since it was read, because a deployment was claimed: the next try has the new one.
            tonic::Code::AlreadyExists => Status::unavailable("the source is wanted once more"),
            _ => status,
        }
    })?;
    let input = Input::Build { push: id.to_string(), commit: header.commit, tree: tree.to_string() };
    start_build(service, operation_id, &input).await.map_err(|error| refuse(&error))?;
    Ok(answer)
}

async fn start_build(
    service: &ControlService,
    id: paastech_types::OperationId,
    input: &Input,
) -> Result<(), DbError> {
    let engine = &service.engine;
    let input = serde_json::to_string(input).map_err(|_| DbError::Corrupt("operation input"))?;
    let mut tx = engine.db.begin().await?;
    operation::make_due(&mut tx, id, "start", &input, engine.clock.now_ms()).await?;
    tx.commit().await?;
    engine.wake();
    Ok(())
}

pub(super) async fn refs_updated(
    service: &ControlService,
    request: RefsUpdatedRequest,
) -> Result<RefsUpdatedResponse, Status> {
    let id: PushId = parse(&request.push_id, "push_id")?;
    let row = known(service, id).await?;
    let account = row.account_id().map_err(|error| refuse(&error))?;
    let project_id = row.project_id().map_err(|error| refuse(&error))?;
    let attempt = async {
        let engine = &service.engine;
        let mut tx = engine.db.begin().await?;
        let Some(project) = desired::get(&mut tx, project_id).await? else { return Ok(None) };
        let deploy_ref = format!("refs/heads/{}", project.deploy_branch);
        let moved = request.updates.iter().find(|update| update.name == deploy_ref);
        let Some(update) = moved.filter(|_| project.desired_state != "deleted") else {
            push::set_moved(&mut tx, id, None).await?;
            tx.commit().await?;
            return Ok(None);
        };
        let deploy = match engine::on_head(engine, &mut tx, &project, &update.new_oid, Some(account)).await? {
            Some(made) => Some(made),
            // The scan of refs was faster, or this is a repeat.
            None => operation::find_deploy(&mut tx, project_id, &update.new_oid).await?,
        };
        push::set_moved(&mut tx, id, deploy.as_ref().map(operation::Row::id).transpose()?).await?;
        tx.commit().await?;
        engine.wake();
        Ok::<_, DbError>(deploy)
    };
    let deploy = attempt.await.map_err(|error| refuse(&error))?;
    let lines = deploy.iter().map(|row| format!("Deploying as operation {}", row.id)).collect();
    Ok(RefsUpdatedResponse { operation_id: deploy.map(|row| row.id).unwrap_or_default(), lines })
}

pub(super) async fn close(
    service: &ControlService,
    request: ClosePushRequest,
) -> Result<ClosePushResponse, Status> {
    let id: PushId = parse(&request.push_id, "push_id")?;
    let row = known(service, id).await?;
    let engine = &service.engine;
    let attempt = async {
        let mut tx = engine.db.begin().await?;
        push::close(&mut tx, id, engine.clock.now_ms()).await?;
        if row.state == "open"
            && let Some(build) = row.build_operation_id()?
            && let Some(build) = operation::get(&mut tx, build).await?
        {
            engine::cancel(
                engine,
                &mut tx,
                &build,
                "interrupted",
                "the push ended before its build: push again",
            )
            .await?;
        }
        tx.commit().await?;
        Ok::<_, DbError>(())
    };
    attempt.await.map_err(|error| refuse(&error))?;
    engine.followers.forget(id);
    engine.wake();
    Ok(ClosePushResponse {})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(name: &str, new: &str) -> RefUpdate {
        RefUpdate { name: name.to_owned(), old_oid: "0".repeat(40), new_oid: new.repeat(40) }
    }

    #[test]
    fn only_the_deploy_branch_builds() {
        let both =
            [update("refs/heads/other", "b"), update("refs/heads/main", "a"), update("refs/tags/v1", "c")];
        let Ok(Wish::Build(commit, lines)) = wish("main", &both) else { panic!("builds") };
        assert_eq!(commit.as_str(), "a".repeat(40));
        assert_eq!(lines.len(), 2);
        assert!(matches!(wish("main", &both[..1]), Ok(Wish::Store(_))));
    }

    #[test]
    fn the_deploy_branch_cannot_be_deleted_and_others_can() {
        assert!(matches!(wish("main", &[update("refs/heads/main", "0")]), Ok(Wish::Reject(_))));
        assert!(matches!(wish("main", &[update("refs/heads/x", "0")]), Ok(Wish::Store(_))));
    }

    #[test]
    fn a_malformed_oid_is_refused() {
        assert!(wish("main", &[update("refs/heads/main", "g")]).is_err());
    }
}
