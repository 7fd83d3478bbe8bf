//! Deploying: resolve → (source → build → follow) → release → start → ready → switch → gate → confirm → drain.

use futures_util::{StreamExt as _, TryStreamExt as _};
use paastech_db::{DbError, Tx};
use paastech_proto::{
    git::{ArchiveRequest, ArchiveResponse, ResolveRevisionRequest},
    pomegranate::{SourceEnd, SourceHeader, put_source_request::Part},
};
use paastech_types::{ProjectId, ReleaseId};

use super::{
    build::{self, Start},
    halt, inputs, rollout, source,
    step::{Context, Next, Stop, fail},
    submit::Input,
};
use crate::store::{desired, image, release};

/// Steps after the commit point.
pub(crate) const COMMITTED: [&str; 3] = ["gate", "confirm", "drain"];

/// A step of a deployment.
pub(crate) async fn step(context: &mut Context<'_>) -> Result<Next, Stop> {
    match context.row.step.as_str() {
        "resolve" => resolve(context).await,
        "source" => send_source(context).await,
        "build" => match build::start(context).await {
            Ok(()) => Ok(Next::Go("follow")),
            Err(Start::NoSource) => context.again("source"),
            Err(Start::Stop(stop)) => Err(stop),
        },
        "follow" => follow(context).await,
        "release" => make_release(context).await,
        "start" => rollout::start(context).await,
        "ready" => rollout::await_ready(context).await,
        "switch" => rollout::switch(context).await,
        "gate" => rollout::open_gate(context).await,
        "confirm" => rollout::confirm(context).await,
        "drain" => rollout::drain(context).await,
        step => Err(fail("internal", format!("this version knows no step {step}"))),
    }
}

pub(crate) async fn undo(context: &mut Context<'_>) -> Result<(), Stop> {
    if matches!(context.row.step.as_str(), "build" | "follow") {
        build::undo(context).await?;
    }
    if context.row.kind == "start" {
        return halt::undo(context).await;
    }
    rollout::undo(context).await
}

/// The commit and tree that are deployed, when a commit is.
async fn commit_and_tree(context: &Context<'_>) -> Result<Option<(String, String)>, Stop> {
    let Input::DeployCommit { commit, .. } = build::input(context)? else { return Ok(None) };
    let request = ResolveRevisionRequest { project_id: context.project.to_string(), revision: commit };
    let resolved = context.engine.git.clone().resolve_revision(request).await?.into_inner();
    Ok(Some((resolved.commit, resolved.tree)))
}

async fn resolve(context: &mut Context<'_>) -> Result<Next, Stop> {
    let Some((_, tree)) = commit_and_tree(context).await? else { return Ok(Next::Go("release")) };
    let key = inputs::key(context, &tree).await?;
    let mut tx = context.engine.db.read().await?;
    let built = image::find(&mut tx, context.project, &key).await?;
    drop(tx);
    match built {
        Some(built) if build::is_held(context, &built.reference).await? => Ok(Next::Go("release")),
        _ => Ok(Next::Go("source")),
    }
}

/// Pipes the commit's tree from the git-controller to Pomegranate.
async fn send_source(context: &mut Context<'_>) -> Result<Next, Stop> {
    let Some((commit, _)) = commit_and_tree(context).await? else { return Ok(Next::Go("release")) };
    let project_id = context.project.to_string();
    context.say(&format!("Building commit {}", commit.get(..7).unwrap_or(&commit))).await?;
    let archive = ArchiveRequest { project_id, commit, limits: None };
    let archive = context.engine.git.clone().archive(archive).await?.into_inner();
    let header = SourceHeader { scope: context.scope().await?, source_id: context.row.id.clone() };
    let part = |part: ArchiveResponse| match part.end {
        true => Part::End(SourceEnd {}),
        false => Part::Chunk(part.chunk.to_vec()),
    };
    let parts = archive.map_ok(part).boxed();
    source::put(context.engine.pomegranate.clone(), header, parts).await?;
    Ok(Next::Go("build"))
}

async fn follow(context: &mut Context<'_>) -> Result<Next, Stop> {
    let Some(built) = build::follow(context, || false).await? else { return context.again("build") };
    let (commit, tree) =
        commit_and_tree(context).await?.ok_or_else(|| fail("internal", "the operation builds no commit"))?;
    build::record(context, &built, &commit, &tree).await?;
    Ok(Next::Go("release"))
}

/// What a release is made of.
struct Recipe {
    image: String,
    commit: String,
    configuration: i64,
    reason: &'static str,
    rollback_of: Option<String>,
}

/// What to make a release of, or the one that is there already.
enum Made {
    Recipe(Recipe),
    Release(String),
}

async fn recipe(
    tx: &mut Tx,
    id: ProjectId,
    project: desired::Row,
    input: &Input,
    from_commit: Option<(String, String)>,
) -> Result<Made, Stop> {
    let recipe = match (input, from_commit) {
        (Input::DeployCommit { reason, .. }, Some((commit, tree))) => {
            let image = image::newest_of_tree(tx, id, &tree).await?;
            let image = image.ok_or_else(|| Stop::Retry("the image is not recorded yet".to_owned()))?;
            let reason = if reason == "push" { "push" } else { "deployment" };
            Recipe {
                image: image.id,
                commit,
                configuration: project.configuration_version,
                reason,
                rollback_of: None,
            }
        }
        (Input::DeployRelease { release, keep_configuration }, _) => {
            let source = release::get(tx, id, release).await?;
            let source = source.ok_or_else(|| fail("not_found", "the release is gone"))?;
            let active = match &project.active_release_id {
                Some(active) => release::get(tx, id, active).await?.map_or(0, |active| active.seq),
                None => 0,
            };
            if source.deployed_at.is_none() && !keep_configuration && source.seq > active {
                // Recorded and never deployed: this is its deployment, not a copy's. Below the active one it would get
                // no traffic, because the highest number takes it.
                return Ok(Made::Release(source.id));
            }
            let configuration = if *keep_configuration {
                project.configuration_version
            } else {
                source.configuration_version
            };
            Recipe {
                image: source.image_id,
                commit: source.commit_oid,
                configuration,
                reason: "rollback",
                rollback_of: Some(source.id),
            }
        }
        _ => {
            let active =
                project.active_release_id.ok_or_else(|| fail("not_deployed", "nothing is deployed yet"))?;
            let active = release::get(tx, id, &active).await?;
            let active = active.ok_or_else(|| fail("not_found", "the release is gone"))?;
            Recipe {
                image: active.image_id,
                commit: active.commit_oid,
                configuration: project.configuration_version,
                reason: "configuration",
                rollback_of: None,
            }
        }
    };
    Ok(Made::Recipe(recipe))
}

async fn make_release(context: &mut Context<'_>) -> Result<Next, Stop> {
    let input = build::input(context)?;
    let from_commit = commit_and_tree(context).await?;
    let now = context.engine.clock.now_ms();
    let mut tx = context.engine.db.begin().await?;
    if let Some(made) = release::find_by_operation(&mut tx, context.project, &context.row.id).await? {
        context.release = Some(made.id);
        return Ok(next_after_release(&input));
    }
    let project = desired::get(&mut tx, context.project).await?.ok_or(Stop::Lost)?;
    let recipe = match recipe(&mut tx, context.project, project, &input, from_commit).await? {
        Made::Recipe(recipe) => recipe,
        Made::Release(id) => {
            context.release = Some(id);
            return Ok(Next::Go("start"));
        }
    };
    let new = release::New {
        id: ReleaseId::new(),
        project_id: context.project,
        image_id: &recipe.image,
        configuration_version: recipe.configuration,
        commit_oid: &recipe.commit,
        reason: recipe.reason,
        rollback_of: recipe.rollback_of.as_deref(),
        operation_id: &context.row.id,
        created_by: context.row.created_by.as_deref(),
        now,
    };
    let made = release::insert(&mut tx, new).await?;
    tx.commit().await.map_err(DbError::from)?;
    context.release = Some(made.id);
    let next = next_after_release(&input);
    if matches!(next, Next::Done) {
        context
            .say(&format!("Release v{} is recorded; auto_deploy is off, so it is not deployed.", made.seq))
            .await?;
        context.say(&format!("Deploy it with: paastech rollback v{}", made.seq)).await?;
    }
    Ok(next)
}

fn next_after_release(input: &Input) -> Next {
    if matches!(input, Input::DeployCommit { record_only: true, .. }) {
        Next::Done
    } else {
        Next::Go("start")
    }
}
