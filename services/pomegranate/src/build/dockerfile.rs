//! Builds from a Dockerfile, on the engine's BuildKit.

use std::{io, sync::Arc};

use bollard::{
    body_try_stream,
    errors::Error as EngineError,
    models::BuildInfoAux,
    query_parameters::{BuildImageOptions, BuilderVersion},
};
use futures_util::StreamExt as _;
use paastech_proto::pomegranate::{BuildOutcome, Image};
use tokio::{sync::oneshot, time::Instant};
use uuid::Uuid;

use crate::{
    build::{
        context::{self, Checked},
        end::{Failure, failed, internal, told, within_limits},
        image,
        job::Job,
        log::Log,
        progress::Progress,
        registry::Order,
        run::Bench,
    },
    engine::Engine,
    error::Error,
    release::spec::refusal,
};

/// Builds the Dockerfile at `dockerfile`.
pub(crate) async fn build(
    bench: &Bench,
    job: &Arc<Job>,
    order: &Arc<Order>,
    dockerfile: String,
    deadline: Instant,
) -> Result<Image, Failure> {
    let (path, name) = (order.source.1.clone(), dockerfile.clone());
    let checked = tokio::task::spawn_blocking(move || context::check(&path, &name))
        .await
        .map_err(|panic| internal(&Error::State(panic.into())))?
        .map_err(|error| failed(format!("the source is not a readable tar: {error}")))?;
    if let Checked::Refused(why) = checked {
        return Err(failed(why));
    }
    job.log.say(&format!("-----> Building {dockerfile}"));
    let engine = Arc::clone(&bench.engine);
    solve_apart(engine, Arc::clone(order), dockerfile, Arc::clone(job), deadline).await?;
    let reference = bench.engine.build_reference(order.project, order.id);
    let image = bench.engine.image(&reference).await.map_err(|error| internal(&error))?;
    let image = image.ok_or_else(|| failed("the build ended without an image"))?;
    if let Some(why) = refusal(&image, bench.require_non_root).or_else(|| image::without_command(&image)) {
        return Err(failed(why));
    }
    Ok(image::describe(&image, &reference))
}

/// Solves on a runtime that ends with the build. The client serves BuildKit's session in a task that it lets go of and
/// that would keep its connection, here and in the engine, for ever.
async fn solve_apart(
    engine: Arc<Engine>,
    order: Arc<Order>,
    dockerfile: String,
    job: Arc<Job>,
    deadline: Instant,
) -> Result<(), Failure> {
    let stop = job.cancel.child_token();
    // Whoever drops this call ends the thread as well.
    let _guard = stop.clone().drop_guard();
    let (send, receive) = oneshot::channel();
    let solve = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let outcome = runtime.map_err(|error| internal(&error.into())).and_then(|runtime| {
            let solve = solve(&engine, &order, &dockerfile, &job.log);
            runtime.block_on(within_limits(solve, &order, deadline, &stop))
        });
        let _ = send.send(outcome);
    };
    let thread = std::thread::Builder::new().name("build".to_owned());
    thread.spawn(solve).map_err(|error| internal(&error.into()))?;
    receive.await.unwrap_or_else(|_| Err(internal(&io::Error::other("the build's thread panicked").into())))
}

/// The build itself. BuildKit ends it when the connection does, so dropping this cancels for real.
async fn solve(engine: &Engine, order: &Order, dockerfile: &str, log: &Log) -> Result<(), Failure> {
    let docker = engine.docker().await.map_err(|error| internal(&error))?;
    let source = context::stream(&order.source.1).await.map_err(|error| internal(&error.into()))?;
    let body = body_try_stream(source);
    let reference = engine.build_reference(order.project, order.id);
    let mut events = Box::pin(docker.build_image(options(order, dockerfile, &reference), None, Some(body)));
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

fn options(order: &Order, dockerfile: &str, reference: &str) -> BuildImageOptions {
    // Without this one project reads what another keeps in a cache mount.
    let arguments = [("BUILDKIT_CACHE_MOUNT_NS".to_owned(), order.project.to_string())];
    BuildImageOptions {
        dockerfile: dockerfile.to_owned(),
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
