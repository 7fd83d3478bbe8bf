//! Runs one build on the engine's BuildKit: a time limit, a real cancel, and an end in words.

use std::{io, sync::Arc, time::Duration};

use bollard::{
    body_try_stream,
    errors::Error as EngineError,
    models::BuildInfoAux,
    query_parameters::{BuildImageOptions, BuilderVersion},
};
use futures_util::StreamExt as _;
use paastech_proto::pomegranate::{BuildOutcome, BuildResult};
use paastech_types::Kind;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
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

/// An engine that starts again is back before.
const ENGINE_WAIT: Duration = Duration::from_secs(30);
const ENGINE_PAUSE: Duration = Duration::from_millis(500);

/// What builds are made with.
pub(crate) struct Bench {
    /// Builds, and keeps the images.
    pub(crate) engine: Arc<Engine>,
    /// Refuse images whose user is root or only a name.
    pub(crate) require_non_root: bool,
    /// Builds at a time.
    pub(crate) turns: Semaphore,
}

/// Why a build made no image.
enum Failure {
    /// This is to be told.
    Told(BuildResult),
    /// The engine went away: it is no fault of the build's, which can be run again.
    Away,
}

/// Runs a build to its end, whatever that is; `None` when the engine went away before.
pub(crate) async fn run(bench: &Bench, job: &Arc<Job>, order: Order) -> Option<BuildResult> {
    let reference = bench.engine.build_reference(order.project, order.id);
    let turn = async {
        if bench.turns.available_permits() == 0 {
            job.log.say("-----> Waiting for another build to end");
        }
        bench.turns.acquire().await
    };
    let outcome = tokio::select! {
        biased;
        () = job.cancel.cancelled() => Err(cancelled()),
        turn = turn => {
            let _turn = turn;
            build(bench, job, order, &reference).await
        }
    };
    let result = match outcome {
        Ok(result) => return Some(result),
        Err(Failure::Away) => return None,
        Err(Failure::Told(result)) => result,
    };
    job.log.say(&format!(" !     {}", result.message));
    // What was cut off may still have been tagged at the last moment.
    if let Err(error) = remove_image(&bench.engine, &reference).await {
        tracing::warn!(%error, "the image of a failed build cannot be removed");
    }
    Some(result)
}

fn told(outcome: BuildOutcome, message: impl Into<String>) -> Failure {
    Failure::Told(failure(outcome, message))
}

fn cancelled() -> Failure {
    told(BuildOutcome::Cancelled, "the build was cancelled")
}

fn timed_out(order: &Order) -> Failure {
    let text = format!("the build took longer than {} seconds", order.timeout.as_secs());
    told(BuildOutcome::TimedOut, text)
}

fn failed(message: impl Into<String>) -> Failure {
    told(BuildOutcome::Failed, message)
}

/// Logs what went wrong with us, and keeps it from the pusher.
fn internal(error: &Error) -> Failure {
    if error.kind() == Kind::Unavailable {
        tracing::warn!(%error, "the engine went away during a build");
        return Failure::Away;
    }
    tracing::error!(%error, "a build failed on our side");
    told(BuildOutcome::Internal, "the platform failed to run the build: try again")
}

async fn build(bench: &Bench, job: &Arc<Job>, order: Order, reference: &str) -> Result<BuildResult, Failure> {
    let (path, dockerfile) = (order.source.1.clone(), order.dockerfile.clone());
    let checked = tokio::task::spawn_blocking(move || context::check(&path, &dockerfile))
        .await
        .map_err(|panic| internal(&Error::State(panic.into())))?
        .map_err(|error| failed(format!("the source is not a readable tar: {error}")))?;
    if let Checked::Refused(why) = checked {
        return Err(failed(why));
    }
    await_engine(&bench.engine, job).await?;
    job.log.say(&format!("-----> Building {}", order.dockerfile));
    solve_apart(Arc::clone(&bench.engine), order, reference.to_owned(), Arc::clone(job)).await?;
    let image = bench.engine.image(reference).await.map_err(|error| internal(&error))?;
    let image = image.ok_or_else(|| failed("the build ended without an image"))?;
    if let Some(why) = refusal(&image, bench.require_non_root).or_else(|| image::without_command(&image)) {
        return Err(failed(why));
    }
    let image = image::describe(&image, reference);
    job.log.say(&format!("-----> Built an image of {} MB", image.size_bytes / 1_000_000));
    Ok(BuildResult { outcome: BuildOutcome::Succeeded.into(), message: String::new(), image: Some(image) })
}

/// Waits until the engine answers: it may be starting again, and have lost this very build.
async fn await_engine(engine: &Engine, job: &Job) -> Result<(), Failure> {
    let answers = async {
        let mut told = false;
        while engine.answers().await.is_err() {
            if !told {
                job.log.say("-----> Waiting for the container engine");
                told = true;
            }
            tokio::time::sleep(ENGINE_PAUSE).await;
        }
    };
    tokio::select! {
        biased;
        () = job.cancel.cancelled() => Err(cancelled()),
        answered = tokio::time::timeout(ENGINE_WAIT, answers) => answered.map_err(|_| {
            told(BuildOutcome::Internal, "the container engine does not answer: try again")
        }),
    }
}

/// Solves on a runtime that ends with the build. The client serves BuildKit's session in a task that it lets go of and
/// that would keep its connection, here and in the engine, for ever.
async fn solve_apart(
    engine: Arc<Engine>,
    order: Order,
    reference: String,
    job: Arc<Job>,
) -> Result<(), Failure> {
    let stop = job.cancel.child_token();
    // Whoever drops this call ends the thread as well.
    let _guard = stop.clone().drop_guard();
    let (send, receive) = oneshot::channel();
    let solve = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let outcome = runtime.map_err(|error| internal(&error.into())).and_then(|runtime| {
            runtime.block_on(within_limits(solve(&engine, &order, &reference, &job.log), &order, &stop))
        });
        let _ = send.send(outcome);
    };
    let thread = std::thread::Builder::new().name("build".to_owned());
    thread.spawn(solve).map_err(|error| internal(&error.into()))?;
    receive.await.unwrap_or_else(|_| Err(internal(&io::Error::other("the build's thread panicked").into())))
}

async fn within_limits(
    solve: impl Future<Output = Result<(), Failure>>,
    order: &Order,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(cancelled()),
        outcome = tokio::time::timeout(order.timeout, solve) => outcome.unwrap_or_else(|_| Err(timed_out(order))),
    }
}

/// The build itself. BuildKit ends it when the connection does, so dropping this cancels for real.
async fn solve(engine: &Engine, order: &Order, reference: &str, log: &Log) -> Result<(), Failure> {
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
fn ended(error: EngineError, progress: Progress, log: &Log) -> Failure {
    match error {
        EngineError::DockerStreamError { error: text }
        | EngineError::DockerResponseServerError { message: text, .. } => {
            if text.contains("no space left on device") {
                tracing::error!(error = text, "the disk is full");
                return told(BuildOutcome::Internal, "the platform's disk is full");
            }
            failed(progress.failure(&text, log))
        }
        other => internal(&other.into()),
    }
}
