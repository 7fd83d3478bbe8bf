//! All builds that run, and those that ended a short while ago.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use paastech_runtime::Clock;
use paastech_types::{BuildId, ProjectId};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{
    build::{job::Job, log::Log, run},
    config::BuildConfig,
    engine::Engine,
    source::Sources,
};

/// How long an ended build can still be followed.
const KEPT: Duration = Duration::from_secs(600);

/// Ended builds beyond this many are forgotten, the oldest first.
const KEPT_COUNT: usize = 16;

/// What to build.
pub(crate) struct Order {
    /// The build.
    pub(crate) id: BuildId,
    /// Whose it is.
    pub(crate) project: ProjectId,
    /// The source's id and file.
    pub(crate) source: (Uuid, PathBuf),
    /// The Dockerfile's path inside the source.
    pub(crate) dockerfile: String,
    /// The longest it may take.
    pub(crate) timeout: Duration,
    /// Build every step anew.
    pub(crate) no_cache: bool,
}

/// The builds of this process.
pub(crate) struct Builds {
    engine: Arc<Engine>,
    sources: Arc<Sources>,
    clock: Clock,
    log_bytes: usize,
    turns: Arc<Semaphore>,
    jobs: Arc<Mutex<HashMap<BuildId, Arc<Job>>>>,
}

impl Builds {
    /// None yet.
    pub(crate) fn new(
        engine: Arc<Engine>,
        sources: Arc<Sources>,
        clock: Clock,
        config: &BuildConfig,
    ) -> Self {
        Self {
            engine,
            sources,
            clock,
            log_bytes: config.log_bytes,
            turns: Arc::new(Semaphore::new(config.concurrency.max(1))),
            jobs: Arc::default(),
        }
    }

    /// The build of this id, when it is the project's.
    pub(crate) fn get(&self, project: ProjectId, id: BuildId) -> Option<Arc<Job>> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.get(&id).filter(|job| job.project == project).cloned()
    }

    /// All of them, those of one project when it is given.
    pub(crate) fn list(&self, project: Option<ProjectId>) -> Vec<Arc<Job>> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> =
            jobs.values().filter(|job| project.is_none_or(|wanted| wanted == job.project)).cloned().collect();
        list.sort_by_key(|job| job.id);
        list
    }

    fn forget_old(&self) {
        let ended: Vec<BuildId> =
            self.list(None).into_iter().filter(|job| job.is_over()).map(|job| job.id).collect();
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ended.iter().take(ended.len().saturating_sub(KEPT_COUNT)) {
            jobs.remove(id);
        }
    }

    /// Starts a build in a task of its own.
    pub(crate) fn start(&self, order: Order) {
        self.forget_old();
        let log = Log::new(self.clock.clone(), self.log_bytes);
        let job = Arc::new(Job::new(order.id, order.project, log));
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(order.id, Arc::clone(&job));
        let (engine, sources) = (Arc::clone(&self.engine), Arc::clone(&self.sources));
        let (turns, jobs) = (Arc::clone(&self.turns), Arc::clone(&self.jobs));
        tokio::spawn(async move {
            let result = run::run(&engine, &job, &order, &turns).await;
            if let Err(error) = sources.remove(order.project, order.source.0) {
                tracing::warn!(%error, "a source cannot be removed");
            }
            job.finish(result);
            tokio::time::sleep(KEPT).await;
            jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(&order.id);
        });
    }
}
