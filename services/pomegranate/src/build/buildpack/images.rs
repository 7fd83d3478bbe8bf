//! The images that a build needs: held by the engine, or pulled when a registry answers.

use bollard::{models::ImageInspect, query_parameters::CreateImageOptions};
use futures_util::TryStreamExt as _;

use crate::{build::buildpack::stop::Stop, engine::Engine};

/// Built images carry it.
pub(crate) const LIFECYCLE_METADATA: &str = "io.buildpacks.lifecycle.metadata";

/// The image, pulled unless it is here.
pub(crate) async fn ensure(engine: &Engine, reference: &str) -> Result<ImageInspect, Stop> {
    if let Some(found) = engine.image(reference).await? {
        return Ok(found);
    }
    let options =
        CreateImageOptions { from_image: Some(with_tag(reference)), ..CreateImageOptions::default() };
    let pulled = engine.docker().await?.create_image(Some(options), None, None).try_collect::<Vec<_>>().await;
    if let Err(error) = pulled {
        tracing::warn!(image = reference, %error, "an image of a build cannot be pulled");
    }
    let missing =
        || Stop::failed(format!("the image {reference} is not on this platform and cannot be pulled"));
    engine.image(reference).await?.ok_or_else(missing)
}

/// Without a tag the engine would pull all of them.
fn with_tag(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if last.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") }
}
