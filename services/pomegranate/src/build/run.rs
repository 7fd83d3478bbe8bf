//! Runs one build on the engine's BuildKit: a time limit, a real cancel, and an end in words.

use bollard::{
    body_try_stream,
    errors::Error as EngineError,
    models::BuildInfoAux,
    query_parameters::{BuildImageOptions, BuilderVersion},
};
use futures_util::StreamExt as _;
use paastech_proto::pomegranate::{BuildOutcome, BuildResult};
use paastech_types::Kind;
use rand::Rng as _;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{
    build::{
        context::{self, Checked},
        image,
        job::{Job, failure},
        log::Log,
        progress::Progress,
        registry::Order,
    },
    engine::Engine,
    error::Error,
    release::{remove::remove_image, spec::refusal},
};

/// Runs a build to its end, whatever that is.
pub(crate) async fn run(engine: &Engine, job: &Job, order: &Order, turns: &Semaphore) -> BuildResult {
    let reference = reference(engine, order);
    let turn = async {
        if turns.available_permits() == 0 {
            job.log.say("-----> Waiting for another build to end");
        }
        turns.acquire().await
    };
    let result = tokio::select! {
        biased;
        () = job.cancel.cancelled() => Err(cancelled()),
        turn = turn => {
            let _turn = turn;
            let limited = tokio::time::timeout(order.timeout, build(engine, order, &reference, &job.log));
            tokio::select! {
                biased;
                () = job.cancel.cancelled() => Err(cancelled()),
                outcome = limited => outcome.unwrap_or_else(|_| Err(timed_out(order))),
            }
        }
    };
    match result {
        Ok(result) => result,
        Err(result) => {
            job.log.say(&format!(" !     {}", result.message));
            // What was cut off may still have been tagged at the last moment.
            if let Err(error) = remove_image(engine, &reference).await {
                tracing::warn!(%error, "the image of a failed build cannot be removed");
            }
            result
        }
    }
}

/// 128 random bits: any local reference can be named in a tenant's FROM, so none must be guessable.
fn reference(engine: &Engine, order: &Order) -> String {
    let mut tag = [0_u8; 16];
    rand::rng().fill_bytes(&mut tag);
    format!("{}:{}", engine.repository(order.project), hex::encode(tag))
}

fn cancelled() -> BuildResult {
    failure(BuildOutcome::Cancelled, "the build was cancelled")
}

fn timed_out(order: &Order) -> BuildResult {
    let text = format!("the build took longer than {} seconds", order.timeout.as_secs());
    failure(BuildOutcome::TimedOut, text)
}

fn failed(message: impl Into<String>) -> BuildResult {
    failure(BuildOutcome::Failed, message)
}

/// Logs what went wrong with us, and keeps it from the pusher.
fn internal(error: &Error) -> BuildResult {
    tracing::error!(error = %error, "a build failed on our side");
    let text = match error.kind() {
        Kind::Unavailable => "the container engine does not answer: try again",
        _ => "the platform failed to run the build: try again",
    };
    failure(BuildOutcome::Internal, text)
}

async fn build(
    engine: &Engine,
    order: &Order,
    reference: &str,
    log: &Log,
) -> Result<BuildResult, BuildResult> {
    let (path, dockerfile) = (order.source.1.clone(), order.dockerfile.clone());
    let checked = tokio::task::spawn_blocking(move || context::check(&path, &dockerfile))
        .await
        .map_err(|panic| internal(&Error::State(panic.into())))?
        .map_err(|error| failed(format!("the source is not a readable tar: {error}")))?;
    if let Checked::Refused(why) = checked {
        return Err(failed(why));
    }
    log.say(&format!("-----> Building {}", order.dockerfile));
    solve(engine, order, reference, log).await?;
    let image = engine.image(reference).await.map_err(|error| internal(&error))?;
    let image = image.ok_or_else(|| failed("the build ended without an image"))?;
    if let Some(why) = refusal(&image, false).or_else(|| image::without_command(&image)) {
        return Err(failed(why));
    }
    let image = image::describe(&image, reference);
    log.say(&format!("-----> Built an image of {} MB", image.size_bytes / 1_000_000));
    Ok(BuildResult { outcome: BuildOutcome::Succeeded.into(), message: String::new(), image: Some(image) })
}

/// The build itself. BuildKit ends it when the connection does, so dropping this cancels for real.
async fn solve(engine: &Engine, order: &Order, reference: &str, log: &Log) -> Result<(), BuildResult> {
    let docker = engine.docker().await.map_err(|error| internal(&error))?;
    let source = context::stream(&order.source.1).await.map_err(|error| internal(&error.into()))?;
    let body = body_try_stream(source);
    let mut events = Box::pin(docker.build_image(options(order, reference), None, Some(body)));
    let mut progress = Progress::default();
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => return Err(ended(error, progress, log)),
        };
        if let Some(detail) = event.error_detail {
            let text = detail.message.unwrap_or_default();
            return Err(failed(progress.failure(&text, log)));
        }
        match event.aux {
            Some(BuildInfoAux::BuildKit(status)) => progress.take(status, log),
            // The image's id is the last word; the session would go on.
            Some(BuildInfoAux::Default(_)) => break,
            None => {}
        }
    }
    progress.flush(log);
    Ok(())
}

fn options(order: &Order, reference: &str) -> BuildImageOptions {
    // Without this one project reads what another keeps in a cache mount.
    let arguments = [("BUILDKIT_CACHE_MOUNT_NS".to_owned(), order.project.to_string())];
    BuildImageOptions {
        dockerfile: order.dockerfile.clone(),
        t: Some(reference.to_owned()),
        nocache: order.no_cache,
        rm: true,
        forcerm: true,
        buildargs: Some(arguments.into()),
        version: BuilderVersion::BuilderBuildKit,
        session: Some(Uuid::new_v4().to_string()),
        ..BuildImageOptions::default()
    }
}

/// The end of a build by an error: the tenant's when BuildKit told it, ours when the engine is gone.
fn ended(error: EngineError, progress: Progress, log: &Log) -> BuildResult {
    match error {
        EngineError::DockerStreamError { error: text }
        | EngineError::DockerResponseServerError { message: text, .. } => {
            if text.contains("no space left on device") {
                tracing::error!(error = text, "the disk is full");
                return failure(BuildOutcome::Internal, "the platform's disk is full");
            }
            failed(progress.failure(&text, log))
        }
        other => internal(&other.into()),
    }
}
