//! All builds that run, and those that ended a short while ago.

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use paastech_runtime::Clock;
use paastech_types::{BuildId, ProjectId};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    build::{
        job::{End, Job},
        log::Log,
        run::{self, Bench},
        turns::Turns,
    },
    config::Config,
    engine::Engine,
    metrics::count_build,
    source::Sources,
};

/// How long an ended build can still be followed.
const KEPT: Duration = Duration::from_secs(600);
/// Ended builds beyond this many are forgotten, the one that ended first at first.
const KEPT_COUNT: usize = 16;

type Key = (ProjectId, BuildId);

/// What to build.
pub(crate) struct Order {
    /// The build.
    pub(crate) id: BuildId,
    /// Whose it is.
    pub(crate) project: ProjectId,
    /// The source's id and file.
    pub(crate) source: (Uuid, PathBuf),
    /// Why this account's Dockerfiles are not built; empty: they are.
    pub(crate) dockerfile_refusal: String,
    /// Variables of the build.
    pub(crate) env: Vec<(String, String)>,
    /// The longest it may take.
    pub(crate) timeout: Duration,
    /// Build every step anew.
    pub(crate) no_cache: bool,
    /// Opens the project's repository in the registry.
    pub(crate) registry_token: String,
}

/// The builds of this process.
pub(crate) struct Builds {
    bench: Arc<Bench>,
    sources: Arc<Sources>,
    clock: Clock,
    log_bytes: usize,
    jobs: Arc<Mutex<Jobs>>,
}

#[derive(Default)]
struct Jobs {
    all: HashMap<Key, Arc<Job>>,
    /// Those that have ended, in that order.
    ended: VecDeque<Arc<Job>>,
}

impl Builds {
    /// None yet.
    pub(crate) fn new(
        engine: Arc<Engine>,
        sources: Arc<Sources>,
        clock: Clock,
        config: &Config,
        gates: PathBuf,
    ) -> Self {
        let bench = Bench {
            engine,
            require_non_root: config.require_non_root,
            turns: Turns::new(config.build.concurrency),
            buildpacks: config.build.buildpacks.clone(),
            gates,
        };
        Self {
            bench: Arc::new(bench),
            sources,
            clock,
            log_bytes: config.build.log_bytes,
            jobs: Arc::default(),
        }
    }

    /// The build of this id, when it is the project's.
    pub(crate) fn get(&self, project: ProjectId, id: BuildId) -> Option<Arc<Job>> {
        lock(&self.jobs).all.get(&(project, id)).cloned()
    }

    /// All of them, those of one project when it is given.
    pub(crate) fn list(&self, project: Option<ProjectId>) -> Vec<Arc<Job>> {
        let jobs = lock(&self.jobs);
        let of = |job: &&Arc<Job>| project.is_none_or(|wanted| wanted == job.project);
        let mut list: Vec<_> = jobs.all.values().filter(of).cloned().collect();
        list.sort_by_key(|job| job.id);
        list
    }

    /// Starts a build in a task of its own, unless it is here already.
    pub(crate) fn start(&self, order: Order) {
        let key = (order.project, order.id);
        let log = Log::new(self.clock.clone(), self.log_bytes);
        let job = Arc::new(Job::new(order.id, order.project, log));
        {
            let mut jobs = lock(&self.jobs);
            if jobs.all.contains_key(&key) {
                return;
            }
            jobs.all.insert(key, Arc::clone(&job));
        }
        let (bench, sources) = (Arc::clone(&self.bench), Arc::clone(&self.sources));
        let jobs = Arc::clone(&self.jobs);
        let span = tracing::info_span!("build", project.id = %order.project, build.id = %order.id);
        tokio::spawn(async move {
            let (project, source) = (order.project, order.source.0);
            let result = run::run(&bench, &job, order).instrument(span).await;
            count_build(result.as_ref());
            let Some(result) = result else {
                // The source stays for the next try, and whoever follows finds nothing to follow.
                lock(&jobs).all.remove(&key);
                return job.finish(End::Lost);
            };
            if let Err(error) = sources.remove(project, source) {
                tracing::warn!(%error, "a source cannot be removed");
            }
            job.finish(End::Result(result));
            lock(&jobs).keep(Arc::clone(&job));
            let ended = Arc::downgrade(&job);
            drop(job);
            tokio::time::sleep(KEPT).await;
            if let Some(job) = ended.upgrade() {
                lock(&jobs).forget(&job);
            }
        });
    }
}

impl Jobs {
    /// Keeps one that has ended, in place of the oldest when there are too many.
    fn keep(&mut self, job: Arc<Job>) {
        self.ended.push_back(job);
        while self.ended.len() > KEPT_COUNT
            && let Some(oldest) = self.ended.front().cloned()
        {
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, job: &Arc<Job>) {
        self.all.retain(|_, kept| !Arc::ptr_eq(kept, job));
        self.ended.retain(|kept| !Arc::ptr_eq(kept, job));
    }
}

fn lock(jobs: &Mutex<Jobs>) -> MutexGuard<'_, Jobs> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use paastech_labels::LabelKey;

    use super::*;

    #[tokio::test]
    async fn what_is_here_is_not_started_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let engine = Engine::new("/nonexistent".into(), "i1".to_owned(), LabelKey::new([1; 32]));
        let sources = Sources::open(dir.path().to_owned(), 1).expect("opens");
        let builds = Builds::new(
            Arc::new(engine),
            Arc::new(sources),
            Clock::manual(0),
            &Config::default(),
            PathBuf::new(),
        );
        let (id, project) = (BuildId::new(), ProjectId::new());
        let order = || Order {
            id,
            project,
            source: (Uuid::nil(), dir.path().join("absent")),
            dockerfile_refusal: String::new(),
            env: Vec::new(),
            timeout: Duration::from_secs(1),
            no_cache: false,
            registry_token: String::new(),
        };
        builds.start(order());
        let first = builds.get(project, id).expect("here");
        builds.start(order());
        assert!(Arc::ptr_eq(&first, &builds.get(project, id).expect("here")));
        first.over().await;
        builds.start(order());
        assert!(Arc::ptr_eq(&first, &builds.get(project, id).expect("kept, ended")));
        assert!(builds.get(ProjectId::new(), id).is_none(), "another project's");
    }

    #[test]
    fn of_what_ended_only_the_last_few_are_kept() {
        let mut jobs = Jobs::default();
        let job = || Job::new(BuildId::new(), ProjectId::new(), Log::new(Clock::manual(0), 1));
        let all: Vec<Arc<Job>> = (0..KEPT_COUNT + 2).map(|_| Arc::new(job())).collect();
        for job in &all {
            jobs.all.insert((job.project, job.id), Arc::clone(job));
        }
        // The newest ended first.
        for job in all.iter().rev().skip(1) {
            jobs.keep(Arc::clone(job));
        }
        assert_eq!(jobs.ended.len(), KEPT_COUNT);
        let [first_ended, still_runs] = [&all[KEPT_COUNT], &all[KEPT_COUNT + 1]];
        assert_eq!((Arc::strong_count(first_ended), Arc::strong_count(still_runs)), (1, 2));
        assert!(jobs.all.contains_key(&(all[0].project, all[0].id)), "it ended last");
    }
}
