//! The operation engine: claims accepted operations and carries them, step by step, to a terminal state.
//!
//! A step looks first, acts, and is recorded with its event in one transaction; a process that dies at any point is
//! followed by one that repeats at most that step. Before the commit point a failure is undone, after it the
//! operation only goes forward.

mod build;
mod delete;
mod deploy;
pub(crate) mod dockerfile;
mod fences;
pub(crate) mod follow;
mod halt;
mod inputs;
pub(crate) mod log;
pub(crate) mod nightly;
mod ref_scan;
mod rollout;
mod run;
pub(crate) mod source;
mod step;
mod submit;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use paastech_db::{Backend, Database, DbError};
use paastech_proto::{
    git::git_controller_client::GitControllerClient, pomegranate::pomegranate_client::PomegranateClient,
};
use paastech_registry::{Action, TokenKey};
use paastech_runtime::{Clock, Shutdown, Transport};
use paastech_types::ProjectId;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub(crate) use self::{
    build::Followers,
    ref_scan::on_head,
    submit::{Input, NewOperation, cancel, in_the_way, submit},
};
use crate::{secrets::Vault, store::operation};

/// How long a token for one call to the registry is good.
pub(crate) const REGISTRY_CALL: Duration = Duration::from_secs(600);

/// How long things may take.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Operations that run at one time.
    pub workers: usize,
    /// From accepted to terminal, builds and deployments alike.
    pub operation_deadline_seconds: u32,
    /// One build.
    pub build_timeout_seconds: u32,
    /// From the start of a new container until its app answers.
    pub ready_timeout_seconds: u32,
    /// From an open gate until the proxy routes.
    pub confirm_timeout_seconds: u32,
    /// The longest that the old release still serves what it has begun, before SIGTERM.
    pub drain_seconds: u32,
    /// From SIGTERM to SIGKILL.
    pub stop_grace_seconds: u32,
    /// Images of so many of the newest releases are kept, besides the active one's: what can be rolled back to.
    pub keep_releases: u32,
    /// How often refs are compared with what was deployed.
    pub ref_scan_seconds: u32,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            workers: 8,
            operation_deadline_seconds: 3600,
            build_timeout_seconds: 900,
            ready_timeout_seconds: 60,
            confirm_timeout_seconds: 30,
            drain_seconds: 30,
            stop_grace_seconds: 10,
            keep_releases: 5,
            ref_scan_seconds: 30,
        }
    }
}

/// What the engine works with.
pub(crate) struct Parts {
    pub(crate) config: EngineConfig,
    pub(crate) db: Database,
    pub(crate) clock: Clock,
    pub(crate) git: GitControllerClient<Transport>,
    pub(crate) pomegranate: PomegranateClient<Transport>,
    pub(crate) vault: Vault,
    pub(crate) logs: log::Logs,
    pub(crate) domain: String,
    pub(crate) dockerfile: dockerfile::DockerfilePolicy,
    pub(crate) registry: Option<TokenKey>,
    /// The address of a project's app.
    pub(crate) app_url: Arc<dyn Fn(ProjectId) -> String + Send + Sync>,
}

/// A handle; clones share it.
#[derive(Clone)]
pub(crate) struct Engine {
    parts: Arc<Parts>,
    holder: Arc<str>,
    wake: Arc<Notify>,
    /// Told whenever an operation's row changes, so that followers look again.
    changed: Arc<Notify>,
    pub(crate) followers: Followers,
}

impl std::ops::Deref for Engine {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Self {
        let holder = uuid::Uuid::new_v4().to_string().into();
        Self {
            parts: Arc::new(parts),
            holder,
            wake: Arc::default(),
            changed: Arc::default(),
            followers: Followers::default(),
        }
    }

    /// Says that there is something to claim. Lost calls cost at most one poll.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
        self.changed.notify_waiters();
    }

    /// Until some operation has changed, or a second has passed.
    pub(crate) async fn changed(&self) {
        drop(tokio::time::timeout(Duration::from_secs(1), self.changed.notified()).await);
    }

    /// A token for these actions in the project's repository of images, good for so long; empty without a registry of
    /// the installation's own.
    pub(crate) fn registry_token(&self, project: ProjectId, actions: &[Action], good: Duration) -> String {
        let now = self.clock.now_ms();
        let until = now + i64::try_from(good.as_millis()).unwrap_or(0);
        self.registry.as_ref().map(|key| key.issue(project, actions, (now, until))).unwrap_or_default()
    }

    /// Claims and runs until the drain. Operations under way are left to whoever claims them next.
    pub(crate) async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        if self.db.backend() == Backend::Sqlite {
            let mut tx = self.db.begin().await?;
            operation::free_claims(&mut tx).await?;
            tx.commit().await.map_err(DbError::from)?;
        }
        let slots = Arc::new(tokio::sync::Semaphore::new(self.config.workers));
        loop {
            let slot = tokio::select! {
                slot = slots.clone().acquire_owned() => slot?,
                () = shutdown.draining() => return Ok(()),
            };
            match self.claim().await {
                Ok(Some(row)) => {
                    let engine = self.clone();
                    let stop = shutdown.clone();
                    shutdown.track(async move {
                        run::operation(&engine, row, &stop).await;
                        drop(slot);
                        engine.wake();
                    });
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(error = %error, "operations cannot be claimed"),
            }
            drop(slot);
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                () = shutdown.draining() => return Ok(()),
            }
        }
    }

    async fn claim(&self) -> Result<Option<operation::Row>, DbError> {
        let mut tx = self.db.begin().await?;
        let claimed = operation::claim(&mut tx, self.db.backend(), &self.holder, self.clock.now_ms()).await;
        match claimed {
            Ok(Some(row)) => {
                tx.commit().await?;
                Ok(Some(row))
            }
            Ok(None) => Ok(None),
            // Somebody else was first: the next poll finds what is left.
            Err(DbError::Duplicate(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Compares refs with deployments, and ends builds whose pusher never came back, until the drain.
    pub(crate) async fn scan(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let mut every =
            tokio::time::interval(Duration::from_secs(u64::from(self.config.ref_scan_seconds.max(1))));
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = every.tick() => {}
                () = shutdown.draining() => return Ok(()),
            }
            if let Err(error) = fences::ensure(&self).await {
                tracing::warn!(%error, "Pomegranate's fences cannot be asked for; it is tried again");
            }
            if let Err(error) = ref_scan::pass(&self).await {
                tracing::warn!(%error, "the scan of refs failed; it is tried again");
            }
        }
    }
}
