//! Giving Pomegranate its fences back when its state folder is new.

use paastech_proto::pomegranate::{ListRequest, Scope, SeedFencesRequest};

use super::Engine;
use crate::store::desired;

/// Asks whether Pomegranate knows any fence, and if not, seeds it with what is above every call made so far.
pub(crate) async fn ensure(engine: &Engine) -> anyhow::Result<()> {
    let mut pomegranate = engine.pomegranate.clone();
    if pomegranate.list(ListRequest {}).await?.into_inner().seeded {
        return Ok(());
    }
    let mut tx = engine.db.begin().await?;
    let projects = desired::raise_fences(&mut tx).await?;
    tx.commit().await?;
    let highest = projects.into_iter().map(|(project_id, fence)| Scope { project_id, fence }).collect();
    pomegranate.seed_fences(SeedFencesRequest { highest }).await?;
    tracing::info!("Pomegranate's fences are seeded");
    Ok(())
}
