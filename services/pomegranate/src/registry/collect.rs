//! The garbage collection of the installation's own registry: a program of the registry's, in its container.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use bollard::{
    exec::{CreateExecOptions, StartExecResults},
    query_parameters::ListContainersOptions,
};
use futures_util::TryStreamExt as _;
use paastech_labels::names::REGISTRY;

use super::Registry;
use crate::{engine::Engine, error::Error};

const PROGRAM: &str = "docker-registry";
const COLLECT: &str = "garbage-collect";
const CONFIG: &str = "/etc/paastech/registry.yml";
/// What the program says of a registry without a single folder.
const EMPTY: &str = "Path not found: /docker/registry/v2";
/// How long a push waits for a collection that somebody else has begun.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_secs(1);
/// What is kept of the program's output, for when it fails.
const TAIL: usize = 2048;

impl Registry {
    /// Frees what no manifest needs. A registry elsewhere has no container here, and does that by itself.
    pub(crate) async fn collect(&self, engine: &Engine) -> Result<(), Error> {
        let Some(container) = container(engine).await? else { return Ok(()) };
        let _alone = self.hold().await;
        self.await_settled(engine).await?;
        self.unsettled.store(true, Ordering::SeqCst);
        let started = Instant::now();
        let docker = engine.docker().await?;
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            // Every image that is to stay has a tag of its own, and every other one was deleted by name.
            cmd: Some(vec![PROGRAM, COLLECT, "--delete-untagged=false", CONFIG]),
            ..CreateExecOptions::default()
        };
        let exec = docker.create_exec(&container, options).await?.id;
        let mut said = String::new();
        if let StartExecResults::Attached { mut output, .. } = docker.start_exec(&exec, None).await? {
            while let Some(part) = output.try_next().await? {
                said.push_str(&part.to_string());
                if said.len() > 2 * TAIL {
                    said = tail(&said).to_owned();
                }
            }
        }
        let code = docker.inspect_exec(&exec).await?.exit_code;
        self.unsettled.store(false, Ordering::SeqCst);
        // Nothing was ever pushed.
        if code != Some(0) && !said.contains(EMPTY) {
            tracing::error!(?code, output = tail(&said), "the registry's garbage collection failed");
            return Err(Error::Broken("the registry's garbage collection failed".to_owned()));
        }
        tracing::info!(duration_ms = started.elapsed().as_millis(), "the registry's garbage is collected");
        Ok(())
    }

    /// Waits for the end of a collection that was begun by a process before this one, or that we lost sight of.
    pub(super) async fn await_settled(&self, engine: &Engine) -> Result<(), Error> {
        if !self.unsettled.load(Ordering::SeqCst) {
            return Ok(());
        }
        let deadline = Instant::now() + PATIENCE;
        while collects(engine).await? {
            if Instant::now() > deadline {
                return Err(being_cleaned());
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.unsettled.store(false, Ordering::SeqCst);
        Ok(())
    }
}

/// It has taken all patience.
pub(super) fn being_cleaned() -> Error {
    Error::NotYet("the registry is being cleaned".to_owned())
}

/// The running container of the installation's registry.
async fn container(engine: &Engine) -> Result<Option<String>, Error> {
    let label = format!("{REGISTRY}={}", engine.instance);
    let options = ListContainersOptions {
        filters: Some([("label".to_owned(), vec![label])].into()),
        ..ListContainersOptions::default()
    };
    let found = engine.docker().await?.list_containers(Some(options)).await?;
    Ok(found.into_iter().find_map(|container| container.id))
}

async fn collects(engine: &Engine) -> Result<bool, Error> {
    let Some(container) = container(engine).await? else { return Ok(false) };
    let found = engine.inspect(&container).await?;
    for exec in found.and_then(|found| found.exec_ids).unwrap_or_default() {
        // One that is gone meanwhile has ended.
        let Ok(exec) = engine.docker().await?.inspect_exec(&exec).await else { continue };
        let words = exec.process_config.and_then(|process| process.arguments).unwrap_or_default();
        if exec.running == Some(true) && words.iter().any(|word| word == COLLECT) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(TAIL);
    (start..text.len()).find_map(|at| text.get(at..)).unwrap_or_default()
}
