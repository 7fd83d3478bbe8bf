//! `StartRelease`: makes the release's containers with the gate shut, and starts them. Names are deterministic, so a
//! repeat finds its own work. NOT_FOUND means the image, and nothing else.

use bollard::{models::ImageInspect, query_parameters::CreateContainerOptions};
use paastech_labels::RouteLabels;

use crate::{
    engine::{Engine, container_name},
    error::{Error, has_status, is_absent},
    release::spec::{ReleaseSpec, refusal},
    volume,
};

/// Starts the release and returns the port its app must listen on.
pub(crate) async fn start(engine: &Engine, spec: &ReleaseSpec, require_non_root: bool) -> Result<u16, Error> {
    let image = runnable_image(engine, spec, require_non_root).await?;
    let image_id = image.id.as_deref().ok_or(Error::NotFound("image"))?;
    engine.ensure_network().await?;
    volume::ensure_probe(engine, image_id).await?;
    volume::ensure_gate(engine, spec.project, spec.release).await?;
    for ordinal in 1..=spec.replicas {
        let id = ensure_container(engine, spec, &image, ordinal).await?;
        run(engine, &id).await?;
    }
    Ok(spec.port(&image))
}

/// Starts a container, unless it runs. One that cannot be started for a fault of its image is left as it is: the engine keeps the
/// reason, and `AwaitRelease` tells it.
pub(crate) async fn run(engine: &Engine, id: &str) -> Result<(), Error> {
    let Err(error) = engine.docker().await?.start_container(id, None).await else { return Ok(()) };
    let gone = || Error::NotYet("a container is gone again".to_owned());
    let found = engine.inspect(id).await?.ok_or_else(gone)?;
    let told = found.state.and_then(|state| state.error).is_some_and(|reason| !reason.is_empty());
    if told {
        tracing::info!(container = id, %error, "a container cannot be started");
        return Ok(());
    }
    Err(error.into())
}

async fn runnable_image(
    engine: &Engine,
    spec: &ReleaseSpec,
    require_non_root: bool,
) -> Result<ImageInspect, Error> {
    let image = engine.ensure_image(spec.project, &spec.image_reference, &spec.registry_token).await?;
    let image = image.ok_or(Error::NotFound("image"))?;
    match refusal(&image, require_non_root) {
        Some(why) => Err(Error::Refused(why)),
        None => Ok(image),
    }
}

/// The id of the container, made now or earlier. One that was made from something else is replaced.
async fn ensure_container(
    engine: &Engine,
    spec: &ReleaseSpec,
    image: &ImageInspect,
    ordinal: u32,
) -> Result<String, Error> {
    let wanted = spec.labels(engine, image, ordinal);
    let name = container_name(spec.project, spec.release, ordinal);
    if let Some((id, labels)) = existing(engine, &name).await? {
        if labels == wanted {
            return Ok(id);
        }
        engine.remove_container(&id).await?;
    }
    let options = CreateContainerOptions { name: Some(name.clone()), ..CreateContainerOptions::default() };
    let body = spec.body(engine, image, ordinal);
    let id = match engine.docker().await?.create_container(Some(options), body).await {
        Ok(created) => created.id,
        Err(error) if is_absent(&error) => return Err(Error::NotFound("image")),
        Err(error) if has_status(&error, 400) => return Err(Error::Refused(refused(&error))),
        Err(error) => return Err(error.into()),
    };
    // Before it runs: what the image added to the labels would be a route of its own choosing.
    match existing(engine, &name).await {
        Ok(Some((_, labels))) if labels == wanted => Ok(id),
        outcome => {
            engine.remove_container(&id).await?;
            outcome?;
            Err(Error::Refused("the image changes the platform's labels".to_owned()))
        }
    }
}

async fn existing(engine: &Engine, name: &str) -> Result<Option<(String, RouteLabels)>, Error> {
    let Some(found) = engine.inspect(name).await? else { return Ok(None) };
    let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
    match (found.id, RouteLabels::verify(&labels, &engine.key, &engine.instance)) {
        (Some(id), Ok(labels)) => Ok(Some((id, labels))),
        _ => Err(Error::Refused(format!("a container {name} is there, but is not ours"))),
    }
}

fn refused(error: &bollard::errors::Error) -> String {
    match error {
        bollard::errors::Error::DockerResponseServerError { message, .. } => {
            format!("the container cannot be created: {message}")
        }
        other => other.to_string(),
    }
}
