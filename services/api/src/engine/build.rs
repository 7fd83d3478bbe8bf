//! Building: Pomegranate runs it, this follows it. Steps of a pushed build: source → start → follow.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use paastech_proto::pomegranate::{
    BuildOutcome, CancelBuildRequest, EnsureImageRequest, FollowBuildRequest, Image, SourceBuild,
    StartBuildRequest, follow_build_response::Event,
};
use paastech_registry::Action;
use paastech_types::{ImageRowId, PushId};
use serde_json::json;

use super::{
    REGISTRY_CALL, dockerfile, inputs,
    step::{Context, Next, Stop, fail, is_absent, within},
    submit::Input,
};
use crate::store::image;

/// A pusher that has been away this long has gone.
const ABANDONED: Duration = Duration::from_secs(30);
/// A pull, which goes on when nobody waits for it any longer.
const ENSURE_SECONDS: u32 = 120;

/// Which pushes have somebody waiting. In memory: after a restart each has [`ABANDONED`] to come back.
#[derive(Clone, Default)]
pub(crate) struct Followers(Arc<Mutex<HashMap<PushId, Presence>>>);

struct Presence {
    following: usize,
    last_seen: Instant,
}

/// Somebody waits as long as this lives.
pub(crate) struct Following {
    followers: Followers,
    push: PushId,
}

impl Followers {
    pub(crate) fn follow(&self, push: PushId) -> Following {
        self.all().entry(push).or_default().following += 1;
        Following { followers: self.clone(), push }
    }

    /// A push that nobody has followed yet is seen now.
    pub(crate) fn is_abandoned(&self, push: PushId) -> bool {
        self.all().entry(push).or_default().is_abandoned()
    }

    pub(crate) fn forget(&self, push: PushId) {
        self.all().remove(&push);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<PushId, Presence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self { following: 0, last_seen: Instant::now() }
    }
}

impl Presence {
    fn is_abandoned(&self) -> bool {
        self.following == 0 && self.last_seen.elapsed() > ABANDONED
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // Forgotten meanwhile: the push has ended.
        if let Some(presence) = self.followers.all().get_mut(&self.push) {
            presence.following = presence.following.saturating_sub(1);
            presence.last_seen = Instant::now();
        }
    }
}

/// A step of a pushed build.
pub(crate) async fn step(context: &mut Context<'_>) -> Result<Next, Stop> {
    let Input::Build { push, commit, tree } = input(context)? else {
        return Err(fail("internal", "the operation cannot be read"));
    };
    let push: PushId = push.parse().map_err(|_| fail("internal", "the operation cannot be read"))?;
    if context.engine.followers.is_abandoned(push) {
        return Err(interrupted());
    }
    match context.row.step.as_str() {
        "start" => {
            let key = inputs::key(context, &tree).await?;
            let mut tx = context.engine.db.read().await?;
            let known = image::find(&mut tx, context.project, &key).await?;
            drop(tx);
            if let Some(known) = known
                && is_held(context, &known.reference).await?
            {
                context.say("Nothing has changed since this was built: using that image.").await?;
                return Ok(Next::Done);
            }
            match start(context).await {
                Ok(()) => Ok(Next::Go("follow")),
                Err(Start::NoSource) => Ok(Next::AwaitSource),
                Err(Start::Stop(stop)) => Err(stop),
            }
        }
        "follow" => {
            let followers = context.engine.followers.clone();
            match follow(context, || followers.is_abandoned(push)).await? {
                Some(built) => {
                    record(context, &built, &commit, &tree).await?;
                    Ok(Next::Done)
                }
                None => context.again("start"),
            }
        }
        _ => Ok(Next::AwaitSource),
    }
}

/// Whether Pomegranate still has the image, or has it again from the registry.
pub(crate) async fn is_held(context: &Context<'_>, reference: &str) -> Result<bool, Stop> {
    let request = EnsureImageRequest {
        project_id: context.project.to_string(),
        image_reference: reference.to_owned(),
        registry_token: context.engine.registry_token(context.project, &[Action::Pull], REGISTRY_CALL),
    };
    match context.engine.pomegranate.clone().ensure_image(within(ENSURE_SECONDS, request)).await {
        Ok(_) => Ok(true),
        Err(status) if is_absent(&status) => Ok(false),
        Err(status) => Err(status.into()),
    }
}

pub(crate) async fn undo(context: &mut Context<'_>) -> Result<(), Stop> {
    let scope = context.scope().await?;
    let request = CancelBuildRequest { scope, build_id: context.row.id.clone() };
    context.engine.pomegranate.clone().cancel_build(request).await?;
    Ok(())
}

fn interrupted() -> Stop {
    fail("interrupted", "the push ended before its build: push again")
}

pub(crate) fn input(context: &Context<'_>) -> Result<Input, Stop> {
    context.row.input().map_err(|_| fail("internal", "the operation cannot be read"))
}

/// What the source's author may, and the variables of the build.
async fn source(context: &Context<'_>) -> Result<SourceBuild, Stop> {
    let by = context.row.created_by()?;
    let mut tx = context.engine.db.read().await?;
    let refusal = dockerfile::refusal(context.engine, &mut tx, context.project, by).await?;
    drop(tx);
    Ok(SourceBuild {
        dockerfile_refusal: refusal.unwrap_or_default(),
        variables: inputs::variables(context).await?,
    })
}

/// The push comes last, and the operation's deadline is the last moment at which somebody waits for it.
fn push_token(context: &Context<'_>) -> String {
    let left = context.row.deadline_at - context.engine.clock.now_ms();
    let good = Duration::from_millis(u64::try_from(left).unwrap_or(0)) + REGISTRY_CALL;
    context.engine.registry_token(context.project, &[Action::Pull, Action::Push], good)
}

/// Why a build did not start.
pub(crate) enum Start {
    NoSource,
    Stop(Stop),
}

/// Starts the build of the source that has the operation's id. A repeat finds the one that runs.
pub(crate) async fn start(context: &mut Context<'_>) -> Result<(), Start> {
    let source = source(context).await.map_err(Start::Stop)?;
    let scope = context.scope().await.map_err(Start::Stop)?;
    let request = StartBuildRequest {
        scope,
        build_id: context.row.id.clone(),
        source_id: context.row.id.clone(),
        source: Some(source),
        timeout_seconds: context.engine.config.build_timeout_seconds,
        no_cache: false,
        registry_token: push_token(context),
    };
    match context.engine.pomegranate.clone().start_build(request).await {
        Ok(_) => Ok(()),
        Err(status) if is_absent(&status) => {
            context.log.reset_build();
            Err(Start::NoSource)
        }
        Err(status) => Err(Start::Stop(status.into())),
    }
}

/// Copies the build's log to ours until its result. `None`: Pomegranate has lost the build.
pub(crate) async fn follow(
    context: &mut Context<'_>,
    abandoned: impl Fn() -> bool,
) -> Result<Option<Image>, Stop> {
    let request = FollowBuildRequest {
        project_id: context.project.to_string(),
        build_id: context.row.id.clone(),
        from_seq: context.log.build_seq() + 1,
    };
    let mut events = match context.engine.pomegranate.clone().follow_build(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) if is_absent(&status) => {
            context.log.reset_build();
            context.say("The build was interrupted and starts again.").await?;
            return Ok(None);
        }
        Err(status) => return Err(status.into()),
    };
    let mut check = tokio::time::interval(Duration::from_secs(1));
    loop {
        let event = tokio::select! {
            event = events.message() => event?,
            _ = check.tick() => {
                context.check_cancelled().await?;
                if abandoned() {
                    return Err(interrupted());
                }
                continue;
            }
        };
        match event.and_then(|event| event.event) {
            Some(Event::Line(line)) => context.log.build_line(line.at_ms, &line.text, line.seq).await?,
            Some(Event::Result(result)) => {
                return match (result.outcome(), result.image) {
                    (BuildOutcome::Succeeded, Some(image)) => Ok(Some(image)),
                    (BuildOutcome::Internal, _) => Err(Stop::Defect(result.message)),
                    (BuildOutcome::TimedOut, _) => Err(fail("build_timed_out", result.message)),
                    (BuildOutcome::Unavailable, _) => Err(fail("registry_unavailable", result.message)),
                    (BuildOutcome::Cancelled, _) => Err(fail("cancelled", result.message)),
                    _ => Err(fail("build_failed", result.message)),
                };
            }
            None => return Err(Stop::Retry("the build's log ended without its result".to_owned())),
        }
    }
}

/// Keeps what was built.
pub(crate) async fn record(
    context: &mut Context<'_>,
    built: &Image,
    commit: &str,
    tree: &str,
) -> Result<(), Stop> {
    let processes = built.processes.iter();
    let processes: Vec<_> =
        processes.map(|p| json!({ "name": p.name, "command": p.command, "declared": p.declared })).collect();
    let buildpacks: Vec<_> =
        built.buildpacks.iter().map(|pack| json!({ "id": pack.id, "version": pack.version })).collect();
    let key = inputs::key(context, tree).await?;
    let mut tx = context.engine.db.begin().await?;
    let new = image::New {
        id: ImageRowId::new(),
        project_id: context.project,
        build_key: &key,
        reference: &built.reference,
        engine_id: &built.id,
        size_bytes: i64::try_from(built.size_bytes).unwrap_or(i64::MAX),
        port: i64::from(built.port),
        processes: &json!(processes).to_string(),
        buildpacks: &json!(buildpacks).to_string(),
        builder: &built.builder,
        health_path: &built.health_path,
        commit_oid: commit,
        tree_oid: tree,
        now: context.engine.clock.now_ms(),
    };
    image::ensure(&mut tx, new).await?;
    tx.commit().await.map_err(paastech_db::DbError::from)?;
    context.log.sync().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_with_a_follower_is_not_abandoned() {
        let followers = Followers::default();
        let push = PushId::new();
        let following = followers.follow(push);
        let long_ago = || Instant::now().checked_sub(ABANDONED * 2).expect("past");
        followers.all().get_mut(&push).expect("followed").last_seen = long_ago();
        assert!(!followers.is_abandoned(push));
        drop(following);
        assert!(!followers.is_abandoned(push), "it has just gone");
        followers.all().get_mut(&push).expect("followed").last_seen = long_ago();
        assert!(followers.is_abandoned(push));
    }

    #[test]
    fn a_follower_of_a_push_that_is_forgotten_leaves_nothing_behind() {
        let followers = Followers::default();
        let push = PushId::new();
        let following = followers.follow(push);
        followers.forget(push);
        drop(following);
        assert!(followers.all().is_empty());
    }
}
