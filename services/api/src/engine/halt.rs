//! Stopping a project's app, and starting it again: stop; clear → start → ready → switch → gate → confirm → drain.

use paastech_db::DbError;
use paastech_proto::pomegranate::{RemoveReleaseRequest, StatusRequest, StopReleaseRequest};

use super::{
    rollout,
    step::{Context, Next, Stop, fail, within},
};
use crate::store::desired;

/// A step of `stop` or `start`.
pub(crate) async fn step(context: &mut Context<'_>) -> Result<Next, Stop> {
    match context.row.step.as_str() {
        "stop" => stop(context).await,
        "clear" => clear(context).await,
        "start" => rollout::start(context).await,
        "ready" => rollout::await_ready(context).await,
        "switch" => rollout::switch(context).await,
        "gate" => rollout::open_gate(context).await,
        "confirm" => rollout::confirm(context).await,
        "drain" => rollout::drain(context).await,
        step => Err(fail("internal", format!("this version knows no step {step}"))),
    }
}

async fn stop(context: &mut Context<'_>) -> Result<Next, Stop> {
    let engine = context.engine;
    let mut tx = engine.db.begin().await?;
    desired::set_state(&mut tx, context.project, "stopped", engine.clock.now_ms()).await?;
    tx.commit().await.map_err(DbError::from)?;
    let status = StatusRequest { project_id: context.project.to_string() };
    let containers = engine.pomegranate.clone().status(status).await?.into_inner().containers;
    let mut releases: Vec<_> = containers.into_iter().map(|container| container.release_id).collect();
    releases.sort();
    releases.dedup();
    for release_id in releases {
        let grace_seconds = engine.config.stop_grace_seconds;
        let request = StopReleaseRequest { scope: context.scope().await?, release_id, grace_seconds };
        engine.pomegranate.clone().stop_release(within(grace_seconds + 30, request)).await?;
    }
    context.say("Stopped").await?;
    Ok(Next::Done)
}

/// The stopped containers make way for new ones of the same release.
async fn clear(context: &mut Context<'_>) -> Result<Next, Stop> {
    let mut tx = context.engine.db.read().await?;
    let project = desired::get(&mut tx, context.project).await?.ok_or(Stop::Lost)?;
    drop(tx);
    let Some(release_id) = project.active_release_id else {
        return Err(fail("not_deployed", "nothing is deployed yet: push first"));
    };
    context.release = Some(release_id.clone());
    let status = StatusRequest { project_id: context.project.to_string() };
    let containers = context.engine.pomegranate.clone().status(status).await?.into_inner().containers;
    let serves = containers.iter().any(|container| {
        container.release_id == release_id && container.state == "running" && container.health == "healthy"
    });
    if project.desired_state == "running" && serves {
        context.say("It is running already").await?;
        return Ok(Next::Done);
    }
    let scope = context.scope().await?;
    let request = RemoveReleaseRequest { scope, release_id, grace_seconds: 1, drain_seconds: 0 };
    context.engine.pomegranate.clone().remove_release(within(60, request)).await?;
    Ok(Next::Go("start"))
}

/// Stops what a failed start has started: behind its shut gate it serves nobody.
pub(crate) async fn undo(context: &mut Context<'_>) -> Result<(), Stop> {
    let Some(release_id) = context.release.clone().filter(|_| context.row.step != "clear") else {
        return Ok(());
    };
    let request = StopReleaseRequest { scope: context.scope().await?, release_id, grace_seconds: 1 };
    context.engine.pomegranate.clone().stop_release(within(60, request)).await?;
    Ok(())
}
