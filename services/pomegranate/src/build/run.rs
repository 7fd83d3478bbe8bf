//! Runs one build, however its source wants it: a turn, a time limit, a real cancel, and an end in words.

use std::{convert::Infallible, path::PathBuf, sync::Arc, time::Duration};

use paastech_proto::pomegranate::{BuildOutcome, BuildResult, Image};
use paastech_runtime::metrics::Held;
use tokio::time::{Instant, timeout};

use crate::{
    build::{
        buildpack::{self, Site, Stop, workspace},
        dockerfile,
        end::{Failure, cancelled, failed, internal, told, within_limits},
        job::Job,
        log::Log,
        plan::{self, How, Plan},
        registry::Order,
        turns::Turns,
    },
    config::BuildpackConfig,
    engine::Engine,
    error::Error,
    metrics::METRICS,
    registry::{Registry, Upload},
    release::remove::remove_image,
};

/// An engine that starts again is back before.
const ENGINE_WAIT: Duration = Duration::from_secs(30);
const ENGINE_PAUSE: Duration = Duration::from_millis(500);
/// A log that is silent this long gets a line that says that the build goes on.
const SILENCE: Duration = Duration::from_secs(30);
/// What else one can do where Dockerfiles are not built.
const INSTEAD: &str = "or let buildpacks build it: add a paastech.yaml with the line \"build: buildpacks\"";

/// What builds are made with.
pub(crate) struct Bench {
    /// Builds, and keeps the images.
    pub(crate) engine: Arc<Engine>,
    /// Refuse images whose user is root or only a name.
    pub(crate) require_non_root: bool,
    /// Whose build it is.
    pub(crate) turns: Turns,
    /// Builds with buildpacks.
    pub(crate) buildpacks: BuildpackConfig,
    /// The folder of engine gates.
    pub(crate) gates: PathBuf,
}

/// Runs a build to its end, whatever that is; `None` when the engine went away before.
pub(crate) async fn run(bench: &Bench, job: &Arc<Job>, order: Order) -> Option<BuildResult> {
    let order = Arc::new(order);
    let pushed = bench.engine.registry.as_ref().map(|registry| (registry, registry.new_name(order.project)));
    let turn = bench.turns.take(|place| {
        job.log.say(&format!("-----> Waiting for other builds to end: place {place} in the queue"));
    });
    let work = async {
        let waiting = Held::by(&METRICS.builds_waiting);
        tokio::select! {
            biased;
            () = job.cancel.cancelled() => Err(cancelled()),
            turn = turn => {
                let _turn = (turn, Held::by(&METRICS.builds_running));
                drop(waiting);
                let began = Instant::now();
                let made = make(bench, job, &order, pushed.as_ref()).await;
                METRICS.build_duration.observe(began.elapsed().as_secs_f64());
                Ok(succeeded(made?))
            }
        }
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        never = reassure(&job.log) => match never {},
    };
    // Also what a build that was cut off left.
    if let Err(error) = workspace::remove(&bench.engine, Some(order.id)).await {
        tracing::warn!(%error, "a build left something behind; the next start removes it");
    }
    let result = match outcome {
        Ok(result) => return Some(result),
        Err(Failure::Away) => return None,
        Err(Failure::Told(result)) => result,
    };
    job.log.say(&format!(" !     {}", result.message));
    // What was cut off may still have been tagged at the last moment.
    let reference = bench.engine.build_reference(order.project, order.id);
    for reference in [reference].into_iter().chain(pushed.map(|(_, name)| name)) {
        if let Err(error) = remove_image(&bench.engine, &reference).await {
            tracing::warn!(%error, "the image of a failed build cannot be removed");
        }
    }
    Some(result)
}

/// Says in a long silence that the build goes on.
async fn reassure(log: &Log) -> Infallible {
    let started = Instant::now();
    let mut lines = log.watch();
    loop {
        lines.mark_unchanged();
        if timeout(SILENCE, lines.changed()).await.is_err() {
            log.say(&format!("       … still at it after {} s", started.elapsed().as_secs()));
        }
    }
}

/// Builds the image and pushes it where there is a registry, all within the one time limit.
async fn make(
    bench: &Bench,
    job: &Arc<Job>,
    order: &Arc<Order>,
    pushed: Option<&(&Registry, String)>,
) -> Result<Image, Failure> {
    let deadline = Instant::now() + order.timeout;
    let mut image = build(bench, job, order, deadline).await?;
    let Some((registry, name)) = pushed else { return Ok(image) };
    let built = Instant::now();
    let upload = await_registry(bench, job, registry).await?;
    // What is done to the registry meanwhile takes none of the build's time.
    let deadline = deadline + built.elapsed();
    job.log.say("-----> Pushing the image to the registry");
    let push = upload.push(&bench.engine, (&image.id, name), &order.registry_token);
    let push = async { push.await.map_err(not_pushed) };
    image.reference = within_limits(push, order, deadline, &job.cancel).await?;
    Ok(image)
}

async fn build(
    bench: &Bench,
    job: &Arc<Job>,
    order: &Arc<Order>,
    deadline: Instant,
) -> Result<Image, Failure> {
    let plan = plan(order).await?;
    let refusal = &order.dockerfile_refusal;
    if matches!(plan.how, How::Dockerfile(_)) && !refusal.is_empty() {
        return Err(failed(format!("{refusal}; {INSTEAD}")));
    }
    await_engine(&bench.engine, job).await?;
    let mut image = match plan.how {
        How::Dockerfile(path) => dockerfile::build(bench, job, order, path, deadline).await?,
        How::Buildpacks(wanted) => {
            let site = Site {
                engine: &bench.engine,
                config: &bench.buildpacks,
                gates: &bench.gates,
                order,
                reference: &bench.engine.build_reference(order.project, order.id),
                log: &job.log,
            };
            let build = async {
                buildpack::build(&site, &wanted).await.map_err(|stop| match stop {
                    Stop::Failed(why) => failed(why),
                    Stop::Ours(error) => internal(&error),
                })
            };
            within_limits(build, order, deadline, &job.cancel).await?
        }
    };
    image.port = plan.port.map_or(image.port, u32::from);
    image.health_path = plan.health;
    job.log.say(&format!("-----> Built an image of {} MB", image.size_bytes / 1_000_000));
    Ok(image)
}

fn succeeded(image: Image) -> BuildResult {
    BuildResult { outcome: BuildOutcome::Succeeded.into(), message: String::new(), image: Some(image) }
}

/// Waits until the registry takes images.
async fn await_registry<'a>(bench: &Bench, job: &Job, registry: &'a Registry) -> Result<Upload<'a>, Failure> {
    tokio::select! {
        biased;
        () = job.cancel.cancelled() => Err(cancelled()),
        upload = registry.upload(&bench.engine, &job.log) => upload.map_err(not_pushed),
    }
}

fn not_pushed(error: Error) -> Failure {
    match error {
        Error::NotYet(why) => told(BuildOutcome::Unavailable, format!("{why}: push again later")),
        error => internal(&error),
    }
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
        answered = timeout(ENGINE_WAIT, answers) => answered.map_err(|_| {
            told(BuildOutcome::Internal, "the container engine does not answer: try again")
        }),
    }
}

async fn plan(order: &Order) -> Result<Plan, Failure> {
    let source = order.source.1.clone();
    tokio::task::spawn_blocking(move || plan::read(&source))
        .await
        .map_err(|panic| internal(&Error::State(panic.into())))?
        .map_err(|error| failed(format!("the source is not a readable tar: {error}")))?
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use paastech_runtime::Clock;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_build_is_heard_of_and_a_talking_one_is_not_disturbed() {
        let log = Log::new(Clock::manual(0), 1 << 20);
        let talks = async {
            for _ in 0..10 {
                log.push("a line".to_owned());
                tokio::time::sleep(Duration::from_secs(20)).await;
            }
            assert_eq!(log.from(1).len(), 10);
            tokio::time::sleep(Duration::from_secs(75)).await;
        };
        tokio::select! {
            () = talks => {}
            never = reassure(&log) => match never {},
        }
        let said: Vec<String> = log.from(11).into_iter().map(|line| line.text).collect();
        assert_eq!(
            said,
            [
                "       … still at it after 210 s",
                "       … still at it after 240 s",
                "       … still at it after 270 s"
            ]
        );
    }
}
