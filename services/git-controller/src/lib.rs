//! Bare repositories, one per project, named by the project's UUID; reached over `paastech.git.v1`.

pub mod archive;
mod bundle;
pub mod cage;
pub mod config;
pub mod error;
mod fence;
pub mod git;
pub mod killer;
mod maintain;
mod refs;
pub mod repositories;
mod service;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use paastech_proto::git::git_controller_server::GitControllerServer;
use paastech_runtime::Shutdown;

use crate::maintain::Maintenance;
pub use crate::{config::Config, error::Error, repositories::Repositories, service::GitService};

/// The generated server, ready to be served over TCP or called in this process. Opens the repositories directory and
/// clears away what an earlier process left half-made or half-deleted.
///
/// # Errors
/// The directory cannot be made or read.
pub async fn build(config: Config, shutdown: Shutdown) -> anyhow::Result<GitControllerServer<GitService>> {
    let root = config.root.clone();
    let leftovers = tokio::task::spawn_blocking(move || Repositories::open(&root)?.leftovers()).await??;
    // Removal may take long and nothing waits for it: the names are not used again.
    tokio::task::spawn_blocking(move || repositories::remove_all(&leftovers));
    beside(config, shutdown)
}

/// The same beside one that may be running: clears nothing away.
///
/// # Errors
/// As [`build`].
pub fn beside(config: Config, shutdown: Shutdown) -> anyhow::Result<GitControllerServer<GitService>> {
    let repositories = Repositories::open(&config.root)?;
    let maintenance = Maintenance {
        applet: cage::applet(config.applet.as_deref()).context("applet")?,
        git: config.git,
        limit: Duration::from_secs(config.maintain_seconds),
        shutdown,
    };
    let service = GitService::new(Arc::new(repositories), config.archive, maintenance);
    Ok(GitControllerServer::new(service))
}
