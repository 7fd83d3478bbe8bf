//! `StopRelease`: SIGTERM, grace, SIGKILL; the containers stay, stopped, and do not come back by themselves.

use bollard::{models::RestartPolicyNameEnum, query_parameters::StopContainerOptions};
use futures_util::future::try_join_all;
use paastech_types::{ProjectId, ReleaseId};

use crate::{
    engine::{Engine, Owned},
    error::{Error, has_status, is_absent},
    release::gate,
    volume::Turn,
};

/// The longest grace a call may ask for, in seconds.
pub(crate) const MAX_GRACE: u32 = 120;

/// Stops a release and shuts its gate, so that a later start waits for the gate again.
pub(crate) async fn stop(
    engine: &Engine,
    release: (ProjectId, ReleaseId),
    containers: &[Owned],
    grace_seconds: u32,
) -> Result<(), Error> {
    try_join_all(containers.iter().map(|container| stop_one(engine, container, grace_seconds))).await?;
    gate::turn(engine, release, containers, Turn::Shut).await
}

/// Stops one container. First it is told not to come back: an engine that starts meanwhile would restart it.
pub(crate) async fn stop_one(engine: &Engine, container: &Owned, grace_seconds: u32) -> Result<(), Error> {
    match gate::set_restart(engine, &container.id, RestartPolicyNameEnum::NO).await {
        Err(Error::Engine(error)) if is_absent(&error) => return Ok(()),
        outcome => outcome?,
    }
    let grace = i32::try_from(grace_seconds.min(MAX_GRACE)).ok();
    let options = StopContainerOptions { t: grace, ..StopContainerOptions::default() };
    match engine.docker().await?.stop_container(&container.id, Some(options)).await {
        // 304: it is not running.
        Err(error) if !has_status(&error, 304) && !is_absent(&error) => Err(error.into()),
        _ => Ok(()),
    }
}
