//! What goes into a build beside its source, and the key under which its image is found again.

use paastech_proto::pomegranate::Variable;
use sha2::{Digest as _, Sha256};

use super::step::{Context, Stop};
use crate::store::{desired, variable};

/// The key of a build of `tree`: the same tree, and the same variables set at the same time.
pub(crate) async fn key(context: &Context<'_>, tree: &str) -> Result<String, Stop> {
    let mut tx = context.engine.db.read().await?;
    let project = desired::get(&mut tx, context.project).await?.ok_or(Stop::Lost)?;
    let mut hash = Sha256::new();
    hash.update(format!("source\n{tree}\n"));
    for row in variable::list(&mut tx, context.project, project.configuration_version).await? {
        if row.build.0 {
            hash.update(format!("{}\n{}\n", row.name, row.set_at));
        }
    }
    Ok(hex::encode(hash.finalize()))
}

/// The variables that builds see.
pub(crate) async fn variables(context: &Context<'_>) -> Result<Vec<Variable>, Stop> {
    let mut tx = context.engine.db.read().await?;
    let project = desired::get(&mut tx, context.project).await?.ok_or(Stop::Lost)?;
    let open = context
        .engine
        .vault
        .open_configuration(&mut tx, context.project, project.configuration_version)
        .await
        .map_err(|error| Stop::Retry(error.to_string()))?;
    let of_build = open.into_iter().filter(|variable| variable.build);
    Ok(of_build.map(|v| Variable { name: v.name, value: v.value.expose().to_owned() }).collect())
}
