//! Deleting a project: containers → repository → rows. It only goes forward.

use paastech_db::DbError;
use paastech_proto::{git::DeleteRepositoryRequest, pomegranate::RemoveProjectRequest};

use paastech_registry::Action;

use super::{
    REGISTRY_CALL,
    step::{Context, Next, Stop, fail, within},
};
use crate::store::{
    desired,
    operation::{self, Kinds},
};

/// A step of `delete`.
pub(crate) async fn step(context: &mut Context<'_>) -> Result<Next, Stop> {
    match context.row.step.as_str() {
        "containers" => {
            await_builds(context).await?;
            let actions = [Action::Pull, Action::Delete];
            let registry_token = context.engine.registry_token(context.project, &actions, REGISTRY_CALL);
            let request = RemoveProjectRequest { scope: context.scope().await?, registry_token };
            context.engine.pomegranate.clone().remove_project(within(120, request)).await?;
            Ok(Next::Go("repository"))
        }
        "repository" => {
            let request = DeleteRepositoryRequest { scope: context.git_scope().await? };
            context.engine.git.clone().delete_repository(request).await?;
            Ok(Next::Go("rows"))
        }
        "rows" => {
            let mut tx = context.engine.db.begin().await?;
            desired::bury(&mut tx, context.project, context.engine.clock.now_ms()).await?;
            let others =
                operation::list(&mut tx, context.project, Kinds::All, None, i64::from(u32::MAX)).await?;
            tx.commit().await.map_err(DbError::from)?;
            for other in others.iter().filter(|other| other.id != context.row.id) {
                context.engine.logs.remove(other.id()?).await;
            }
            Ok(Next::Done)
        }
        step => Err(fail("internal", format!("this version knows no step {step}"))),
    }
}

/// A build that still runs would leave its image behind.
async fn await_builds(context: &Context<'_>) -> Result<(), Stop> {
    let mut tx = context.engine.db.begin().await?;
    let builds = operation::list_open(&mut tx, context.project, "build").await?;
    for build in &builds {
        super::cancel(context.engine, &mut tx, build, "cancelled", "the project is being deleted").await?;
    }
    tx.commit().await.map_err(DbError::from)?;
    if builds.is_empty() {
        Ok(())
    } else {
        Err(Stop::Retry("a build of the project is being cancelled".to_owned()))
    }
}
