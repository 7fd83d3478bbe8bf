//! Bare repositories, one per project, named by the project's UUID; reached over `paastech.git.v1`.

pub mod archive;
pub mod config;
pub mod error;
mod fence;
pub mod git;
mod maintain;
mod refs;
pub mod repositories;
mod service;

use std::sync::Arc;

use paastech_proto::git::git_controller_server::GitControllerServer;

pub use crate::{config::Config, error::Error, repositories::Repositories, service::GitService};

/// The service, ready to be served over TCP or called in this process.
pub struct Service {
    repositories: Arc<Repositories>,
    config: Config,
}

/// Opens the repositories directory and clears away what an earlier process left half-made or half-deleted.
///
/// # Errors
/// The directory cannot be made or read.
pub async fn build(config: Config) -> anyhow::Result<Service> {
    let root = config.root.clone();
    let (repositories, leftovers) = tokio::task::spawn_blocking(move || {
        let repositories = Repositories::open(&root)?;
        let leftovers = repositories.leftovers()?;
        anyhow::Ok((repositories, leftovers))
    })
    .await??;
    // Removal may take long and nothing waits for it: the names are not used again.
    tokio::task::spawn_blocking(move || repositories::remove_all(&leftovers));
    Ok(Service { repositories: Arc::new(repositories), config })
}

impl Service {
    /// The generated server.
    #[must_use]
    pub fn server(&self) -> GitControllerServer<GitService> {
        GitControllerServer::new(GitService::new(self.repositories.clone(), &self.config))
    }
}
