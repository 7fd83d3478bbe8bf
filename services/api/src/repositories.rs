//! A project whose repository is missing, because the process died between its row and the call, gets it at the start.

use std::{collections::HashSet, time::Duration};

use paastech_proto::git::{CreateRepositoryRequest, ListRepositoriesRequest, Scope};
use paastech_runtime::Shutdown;

use crate::{app::App, error::Error, store::desired};

/// Tries until the git-controller has answered once.
pub(crate) async fn heal(app: App, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(Duration::from_secs(10));
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = shutdown.draining() => return Ok(()),
        }
        match pass(&app).await {
            Ok(()) => return Ok(()),
            Err(error) => tracing::warn!(%error, "repositories cannot be compared yet; it is tried again"),
        }
    }
}

async fn pass(app: &App) -> Result<(), Error> {
    let mut git = app.git.clone();
    let held = git.list_repositories(ListRepositoriesRequest {}).await?.into_inner().project_ids;
    let held: HashSet<String> = held.into_iter().collect();
    let mut tx = app.db.read().await?;
    let projects = desired::list_live(&mut tx).await?;
    drop(tx);
    // One that has been pushed to and is gone is for a person to look at.
    let lost =
        projects.into_iter().filter(|project| project.head_oid.is_none() && !held.contains(&project.id));
    for project in lost {
        tracing::warn!(project.id, "the project has no repository: it gets an empty one");
        let scope = Scope { project_id: project.id, fence: project.fence };
        let request = CreateRepositoryRequest { scope: Some(scope), deploy_branch: project.deploy_branch };
        git.create_repository(request).await?;
    }
    Ok(())
}
