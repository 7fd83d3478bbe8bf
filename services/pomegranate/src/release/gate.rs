//! `OpenGate`: lets traffic in, and waits until every container is healthy, which is what proxies look for.

use std::time::Duration;

use bollard::models::{ContainerUpdateBody, HealthStatusEnum, RestartPolicyNameEnum};
use paastech_types::{ProjectId, ReleaseId};

use crate::{
    engine::{Engine, Owned},
    error::Error,
    release::spec::restart,
    volume::{self, Turn},
};

const DEADLINE: Duration = Duration::from_secs(25);
const PAUSE: Duration = Duration::from_millis(50);

/// Opens a release's gate.
pub(crate) async fn open(
    engine: &Engine,
    release: (ProjectId, ReleaseId),
    containers: &[Owned],
) -> Result<(), Error> {
    for container in containers {
        set_restart(engine, &container.id, RestartPolicyNameEnum::ALWAYS).await?;
    }
    turn(engine, release, containers, Turn::Open).await?;
    let healthy = async {
        for container in containers {
            until_healthy(engine, container).await?;
        }
        Ok(())
    };
    tokio::time::timeout(DEADLINE, healthy).await.unwrap_or_else(|_| {
        Err(Error::NotYet("the gate is open, but not every container is healthy yet".to_owned()))
    })
}

/// Opens or shuts the gate of a release that has containers.
pub(crate) async fn turn(
    engine: &Engine,
    release: (ProjectId, ReleaseId),
    containers: &[Owned],
    turn: Turn,
) -> Result<(), Error> {
    let first = containers.first().ok_or(Error::NotFound("release"))?;
    let found = engine.inspect(&first.id).await?.ok_or(Error::NotFound("release"))?;
    let image = found.image.ok_or(Error::NotFound("image"))?;
    volume::turn_gate(engine, release, &image, turn).await
}

/// Whether a container comes back by itself.
pub(crate) async fn set_restart(
    engine: &Engine,
    id: &str,
    policy: RestartPolicyNameEnum,
) -> Result<(), Error> {
    let body =
        ContainerUpdateBody { restart_policy: Some(restart(policy)), ..ContainerUpdateBody::default() };
    Ok(engine.docker().await?.update_container(id, body).await?)
}

async fn until_healthy(engine: &Engine, container: &Owned) -> Result<(), Error> {
    while !is_healthy(engine, container).await? {
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Whether the engine finds a container healthy now.
pub(crate) async fn is_healthy(engine: &Engine, container: &Owned) -> Result<bool, Error> {
    let found = engine.inspect(&container.id).await?.ok_or(Error::NotFound("release"))?;
    let health = found.state.and_then(|state| state.health).and_then(|health| health.status);
    Ok(health == Some(HealthStatusEnum::HEALTHY))
}
