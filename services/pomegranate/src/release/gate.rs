//! `OpenGate`: lets traffic in, and waits until every container is healthy, which is what proxies look for; or until one
//! of them keeps ending.

use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerUpdateBody, HealthStatusEnum, RestartPolicyNameEnum,
};
use paastech_types::{ProjectId, ReleaseId};

use crate::{
    engine::{Engine, Owned},
    error::Error,
    release::{
        await_ready::{Readiness, end_reason, not_ready},
        spec::restart,
        start,
    },
    volume::{self, Turn},
};

const DEADLINE: Duration = Duration::from_secs(25);
const PAUSE: Duration = Duration::from_millis(50);
/// An app that the engine has started again so often does not recover while somebody waits.
const RESTARTS: i64 = 3;

/// Opens a release's gate.
pub(crate) async fn open(
    engine: &Engine,
    release: (ProjectId, ReleaseId),
    containers: &[Owned],
) -> Result<Readiness, Error> {
    for container in containers {
        set_restart(engine, &container.id, RestartPolicyNameEnum::ALWAYS).await?;
        // It may have ended before it was to come back by itself.
        start::run(engine, &container.id).await?;
    }
    turn(engine, release, containers, Turn::Open).await?;
    let healthy = async {
        for container in containers {
            if let Some(reason) = until_healthy(engine, container).await? {
                return not_ready(engine, container, reason).await;
            }
        }
        Ok(Readiness::Ready)
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

/// Why a container does not become healthy, if it does not.
async fn until_healthy(engine: &Engine, container: &Owned) -> Result<Option<String>, Error> {
    loop {
        let found = engine.inspect(&container.id).await?.ok_or(Error::NotFound("release"))?;
        if health(&found) == Some(HealthStatusEnum::HEALTHY) {
            return Ok(None);
        }
        let state = found.state.as_ref();
        let comes_back =
            state.is_some_and(|state| state.running == Some(true) || state.restarting == Some(true));
        if (!comes_back || found.restart_count >= Some(RESTARTS))
            && let Some(reason) = end_reason(&found)
        {
            return Ok(Some(reason));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether the engine finds a container healthy now.
pub(crate) async fn is_healthy(engine: &Engine, container: &Owned) -> Result<bool, Error> {
    let found = engine.inspect(&container.id).await?.ok_or(Error::NotFound("release"))?;
    Ok(health(&found) == Some(HealthStatusEnum::HEALTHY))
}

fn health(found: &ContainerInspectResponse) -> Option<HealthStatusEnum> {
    found.state.as_ref()?.health.as_ref()?.status
}
