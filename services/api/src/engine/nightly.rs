//! What is done each night: repositories are maintained, images that nobody will deploy again are removed, and what the
//! registry keeps for no image is freed.

use std::time::Duration;

use paastech_proto::{
    git::{MaintainRequest, Scope},
    pomegranate::{self, CollectRegistryRequest, PruneImagesRequest},
};
use paastech_registry::Action;
use paastech_runtime::Shutdown;

use super::{Engine, REGISTRY_CALL, step::within};
use crate::{
    error::Error,
    store::{desired, image, operation},
};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// From the start to the first time.
const FIRST: Duration = Duration::from_secs(3600);
/// One repository.
const MAINTAIN_SECONDS: u32 = 1800;
/// One project's images.
const PRUNE_SECONDS: u32 = 600;
/// The whole registry.
const COLLECT_SECONDS: u32 = 3600;

/// Runs until the drain.
pub(crate) async fn run(engine: Engine, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut every = tokio::time::interval_at(tokio::time::Instant::now() + FIRST, DAY);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = shutdown.draining() => return Ok(()),
        }
        tokio::select! {
            done = pass(&engine) => if let Err(error) = done {
                tracing::warn!(%error, "the night's work is not done; it is tried again tomorrow");
            },
            () = shutdown.draining() => return Ok(()),
        }
    }
}

/// One project after the other, so that nobody's pushes wait for all of them.
pub(crate) async fn pass(engine: &Engine) -> Result<(), Error> {
    let mut tx = engine.db.read().await?;
    let projects = desired::list_live(&mut tx).await?;
    drop(tx);
    for project in projects {
        let scope = Scope { project_id: project.id.clone(), fence: project.fence };
        let request = within(MAINTAIN_SECONDS, MaintainRequest { scope: Some(scope) });
        if let Err(status) = engine.git.clone().maintain(request).await {
            tracing::warn!(project.id, error = status.message(), "a repository was not maintained");
        }
        prune_images(engine, &project).await?;
    }
    let request = within(COLLECT_SECONDS, CollectRegistryRequest {});
    if let Err(status) = engine.pomegranate.clone().collect_registry(request).await {
        tracing::warn!(error = status.message(), "the registry's garbage was not collected");
    }
    Ok(())
}

/// Leaves a project alone that something is done to: what that needs is not known yet.
async fn prune_images(engine: &Engine, project: &desired::Row) -> Result<(), Error> {
    let (id, keep) = (project.id()?, i64::from(engine.config.keep_releases));
    let made_before = engine.clock.now_ms() - i64::try_from(DAY.as_millis()).unwrap_or(i64::MAX);
    let mut tx = engine.db.begin().await?;
    // The fence as it is while the project is held: what begins later has a higher one, and we are refused.
    let Some(held) = desired::lock(&mut tx, id).await? else { return Ok(()) };
    let busy = operation::list_open(&mut tx, id, "deploy").await?.len()
        + operation::list_open(&mut tx, id, "build").await?.len();
    if busy > 0 {
        return Ok(());
    }
    let kept = image::list_kept(&mut tx, id, keep, made_before).await?;
    tx.commit().await.map_err(paastech_db::DbError::from)?;
    let request = PruneImagesRequest {
        scope: Some(pomegranate::Scope { project_id: project.id.clone(), fence: held.fence }),
        keep: kept,
        registry_token: engine.registry_token(id, &[Action::Pull, Action::Delete], REGISTRY_CALL),
    };
    if let Err(status) = engine.pomegranate.clone().prune_images(within(PRUNE_SECONDS, request)).await {
        tracing::warn!(project.id, error = status.message(), "images were not removed");
    }
    Ok(())
}
