//! The part of a deployment that changes what runs: start, ready, switch, gate, confirm, drain.

use paastech_db::DbError;
use paastech_proto::pomegranate::{
    AwaitReleaseRequest, ConfirmReleaseRequest, LogLine, OpenGateRequest, RemoveReleaseRequest,
    StartReleaseRequest, StatusRequest, Variable,
};
use paastech_registry::Action;

use super::{
    REGISTRY_CALL, run,
    step::{Context, Next, Stop, fail, is_absent, within},
    submit::Input,
};
use crate::store::{container, desired, image, release};

/// The release that the operation is about.
pub(crate) async fn release(context: &Context<'_>) -> Result<release::Row, Stop> {
    let id = context.release.as_deref().ok_or_else(|| fail("internal", "the operation has no release"))?;
    let mut tx = context.engine.db.read().await?;
    release::get(&mut tx, context.project, id).await?.ok_or_else(|| fail("not_found", "the release is gone"))
}

/// Creates and starts the containers, the gate shut.
pub(crate) async fn start(context: &mut Context<'_>) -> Result<Next, Stop> {
    let release = release(context).await?;
    let engine = context.engine;
    let mut tx = engine.db.read().await?;
    let project = desired::get(&mut tx, context.project).await?.ok_or(Stop::Lost)?;
    let image = image::get(&mut tx, context.project, &release.image_id)
        .await?
        .ok_or_else(|| fail("not_found", "the release's image is gone"))?;
    let variables = engine
        .vault
        .open_configuration(&mut tx, context.project, release.configuration_version)
        .await
        .map_err(|error| Stop::Retry(error.to_string()))?;
    drop(tx);
    let command = web_command(&image.processes)?;
    context.say(&format!("Starting release v{}", release.seq)).await?;
    let request = StartReleaseRequest {
        scope: context.scope().await?,
        release_id: release.id.clone(),
        release_seq: release.seq,
        image_reference: image.reference,
        process: "web".to_owned(),
        command,
        variables: variables
            .into_iter()
            .map(|v| Variable { name: v.name, value: v.value.expose().to_owned() })
            .collect(),
        port: u32::try_from(image.port).unwrap_or(0),
        health_path: project.health_path.unwrap_or(image.health_path),
        replicas: 1,
        limits: None,
        hosts: vec![format!("{}.user-app.{}", context.project, engine.domain)],
        registry_token: engine.registry_token(context.project, &[Action::Pull], REGISTRY_CALL),
    };
    match engine.pomegranate.clone().start_release(within(60, request)).await {
        Ok(_) => Ok(Next::Go("ready")),
        // Of a commit it can be built again, once: what this operation has built itself is not there for long.
        Err(status) if is_absent(&status) && builds_commit(context) => {
            context.say("The engine no longer has the image: it is built again.").await?;
            context.again("source")
        }
        Err(status) if is_absent(&status) => {
            Err(fail("image_missing", "the engine no longer has the release's image: push or deploy again"))
        }
        Err(status) if status.code() == tonic::Code::FailedPrecondition => {
            Err(fail("image_refused", status.message()))
        }
        Err(status) => Err(status.into()),
    }
}

fn builds_commit(context: &Context<'_>) -> bool {
    context.log.build_seq() == 0 && matches!(context.row.input(), Ok(Input::DeployCommit { .. }))
}

/// The command of the process that runs; only `web` does, for now.
fn web_command(processes: &str) -> Result<Vec<String>, Stop> {
    #[derive(serde::Deserialize)]
    struct Process {
        name: String,
        command: Vec<String>,
    }
    let processes: Vec<Process> = serde_json::from_str(processes)
        .map_err(|_| fail("internal", "the image's processes cannot be read"))?;
    let web = processes.into_iter().find(|process| process.name == "web");
    web.map(|process| process.command)
        .ok_or_else(|| fail("no_web_process", "the image has no process named web"))
}

/// Waits until the app answers; if it does not, its last lines are the explanation.
pub(crate) async fn await_ready(context: &mut Context<'_>) -> Result<Next, Stop> {
    let release = release(context).await?;
    let seconds = context.engine.config.ready_timeout_seconds;
    let request = AwaitReleaseRequest {
        project_id: context.project.to_string(),
        release_id: release.id,
        timeout_seconds: seconds,
    };
    let mut pomegranate = context.engine.pomegranate.clone();
    let answer =
        context.until_cancelled(pomegranate.await_release(within(seconds + 30, request))).await?.into_inner();
    if answer.ready {
        return Ok(Next::Go("switch"));
    }
    say_last_lines(context, &answer.last_lines).await?;
    Err(fail("not_ready", format!("the app did not become ready: {}", answer.reason)))
}

async fn say_last_lines(context: &mut Context<'_>, lines: &[LogLine]) -> Result<(), Stop> {
    if lines.is_empty() {
        return Ok(());
    }
    context.say("The app's last lines:").await?;
    for line in lines {
        context.say(&format!("    {}", line.text)).await?;
    }
    Ok(())
}

/// The commit point.
pub(crate) async fn switch(context: &mut Context<'_>) -> Result<Next, Stop> {
    let release = release(context).await?;
    let id = release.id.parse().map_err(|_| DbError::Corrupt("release id"))?;
    let now = context.engine.clock.now_ms();
    let mut tx = context.engine.db.begin().await?;
    if !desired::activate(&mut tx, context.project, id, now).await? {
        return Err(Stop::Cancelled);
    }
    if release.reason == "rollback" {
        // What comes next builds on what was rolled back to, image and configuration alike.
        let version = release.configuration_version;
        desired::restore_configuration(&mut tx, context.project, version, release.created_at).await?;
    }
    release::set_deployed(&mut tx, &release.id, now).await?;
    // In the same transaction: what is committed is never taken for what can still be undone.
    run::record_in(&mut tx, context, "running", ("gate", "ok")).await?;
    tx.commit().await.map_err(DbError::from)?;
    Ok(Next::Recorded("gate"))
}

/// Lets traffic in. An app that was ready and keeps ending ends the operation too, whose release stays the one that is
/// wanted: the proxy leaves the traffic where it is, and the next deployment need not wait.
pub(crate) async fn open_gate(context: &mut Context<'_>) -> Result<Next, Stop> {
    let release = release(context).await?;
    let request = OpenGateRequest { scope: context.scope().await?, release_id: release.id };
    let answer = context.engine.pomegranate.clone().open_gate(within(60, request)).await?.into_inner();
    if answer.reason.is_empty() {
        return Ok(Next::Go("confirm"));
    }
    say_last_lines(context, &answer.last_lines).await?;
    context.row.error_code = Some("not_ready".to_owned());
    context.row.error_text = Some(format!("the app was ready, but does not stay so: {}", answer.reason));
    Ok(Next::Done)
}

pub(crate) async fn confirm(context: &mut Context<'_>) -> Result<Next, Stop> {
    await_routed(context).await?;
    Ok(Next::Go("drain"))
}

/// Waits until the proxy sends the release its traffic.
async fn await_routed(context: &Context<'_>) -> Result<(), Stop> {
    let release = release(context).await?;
    let seconds = context.engine.config.confirm_timeout_seconds;
    let request = ConfirmReleaseRequest {
        project_id: context.project.to_string(),
        release_id: release.id,
        timeout_seconds: seconds,
    };
    context.engine.pomegranate.clone().confirm_release(within(seconds + 10, request)).await?;
    Ok(())
}

/// Stops and removes every other release, once it has had time to finish what it has begun.
pub(crate) async fn drain(context: &mut Context<'_>) -> Result<Next, Stop> {
    let engine = context.engine;
    let mut tx = engine.db.read().await?;
    let active = desired::get(&mut tx, context.project).await?.and_then(|project| project.active_release_id);
    drop(tx);
    let status = StatusRequest { project_id: context.project.to_string() };
    let containers = engine.pomegranate.clone().status(status.clone()).await?.into_inner().containers;
    let mut old: Vec<_> = containers.into_iter().map(|container| container.release_id).collect();
    old.sort();
    old.dedup();
    old.retain(|id| Some(id) != active.as_ref());
    if !old.is_empty() {
        // The new one may have died since it was confirmed: then an old one serves again.
        await_routed(context).await?;
    }
    for release_id in old {
        let (grace_seconds, drain_seconds) = (engine.config.stop_grace_seconds, engine.config.drain_seconds);
        let scope = context.scope().await?;
        let request = RemoveReleaseRequest { scope, release_id, grace_seconds, drain_seconds };
        let call = within(drain_seconds + grace_seconds + 30, request);
        engine.pomegranate.clone().remove_release(call).await?;
    }
    let now = engine.pomegranate.clone().status(status).await?.into_inner().containers;
    let mut tx = engine.db.begin().await?;
    container::replace(&mut tx, context.project, &now, engine.clock.now_ms()).await?;
    tx.commit().await.map_err(DbError::from)?;
    Ok(Next::Done)
}

/// Removes the release's containers, unless it is the one that serves.
pub(crate) async fn undo(context: &mut Context<'_>) -> Result<(), Stop> {
    let Some(release_id) = context.release.clone() else { return Ok(()) };
    let mut tx = context.engine.db.read().await?;
    let project = desired::get(&mut tx, context.project).await?.ok_or(Stop::Lost)?;
    drop(tx);
    if project.active_release_id.as_deref() == Some(release_id.as_str()) {
        return Ok(());
    }
    let scope = context.scope().await?;
    let request = RemoveReleaseRequest { scope, release_id, grace_seconds: 1, drain_seconds: 0 };
    context.engine.pomegranate.clone().remove_release(within(60, request)).await?;
    Ok(())
}
