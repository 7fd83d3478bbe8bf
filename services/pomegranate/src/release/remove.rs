//! `RemoveRelease` and `RemoveProject`: containers, volumes and images that are ours, and nothing else.

use std::collections::HashSet;

use bollard::query_parameters::{
    ListImagesOptions, ListVolumesOptions, RemoveImageOptions, RemoveVolumeOptions,
};
use futures_util::future::try_join_all;
use paastech_labels::{ObjectKind, ObjectLabels, instance_selector, names};
use paastech_types::{ProjectId, ReleaseId};

use crate::{
    engine::{Engine, Owned},
    error::{Error, absent_is_fine, has_status, is_absent},
    release::stop::stop_one,
    volume::gate_volume,
};

/// An image of ours, by one of its references.
pub(crate) struct OwnImage {
    /// Whose it is.
    pub(crate) project: ProjectId,
    /// Repository and tag, or repository and digest.
    pub(crate) reference: String,
    /// The engine's id.
    pub(crate) id: String,
}

/// Stops and removes a release's containers and its gate.
pub(crate) async fn release(
    engine: &Engine,
    (project, release): (ProjectId, ReleaseId),
    containers: &[Owned],
    grace_seconds: u32,
) -> Result<(), Error> {
    remove_containers(engine, containers, grace_seconds).await?;
    remove_volume(engine, &gate_volume(project, release)).await
}

/// Removes everything of a project that lives in the engine.
pub(crate) async fn project(engine: &Engine, project: ProjectId, grace_seconds: u32) -> Result<(), Error> {
    remove_containers(engine, &engine.containers(Some(project)).await?, grace_seconds).await?;
    let selectors = vec![instance_selector(&engine.instance), format!("{}={project}", names::PROJECT)];
    let options = ListVolumesOptions { filters: Some([("label".to_owned(), selectors)].into()) };
    let volumes = engine.docker().await?.list_volumes(Some(options)).await?.volumes.unwrap_or_default();
    for volume in volumes {
        remove_volume(engine, &volume.name).await?;
    }
    for image in images(engine, Some(project)).await? {
        remove_image(engine, &image.reference).await?;
    }
    Ok(())
}

/// The images built here, of one project when it is given, once for each of their references.
pub(crate) async fn images(engine: &Engine, project: Option<ProjectId>) -> Result<Vec<OwnImage>, Error> {
    let patterns = engine.roots().map(|root| format!("{root}/*")).collect();
    let options = ListImagesOptions {
        filters: Some([("reference".to_owned(), patterns)].into()),
        ..ListImagesOptions::default()
    };
    let mut images = Vec::new();
    for image in engine.docker().await?.list_images(Some(options)).await? {
        for reference in image.repo_tags.into_iter().chain(image.repo_digests) {
            let owner =
                engine.owner(&reference).filter(|owner| project.is_none_or(|wanted| wanted == *owner));
            if let Some(project) = owner {
                images.push(OwnImage { project, reference, id: image.id.clone() });
            }
        }
    }
    Ok(images)
}

/// Removes every reference of the images that none of `keep` names. What is in use is left for the next time.
pub(crate) async fn prune_images(engine: &Engine, images: &[OwnImage], keep: &[String]) -> Result<(), Error> {
    let is_kept = |image: &&OwnImage| keep.contains(&image.reference);
    let kept: HashSet<&str> = images.iter().filter(is_kept).map(|image| image.id.as_str()).collect();
    for image in images.iter().filter(|image| !kept.contains(image.id.as_str())) {
        match remove_unused(engine, &image.reference).await {
            Err(Error::Refused(why)) => tracing::warn!(image = image.reference, why, "an image is left"),
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Removes an image's reference, and the image when it was the last one and nothing runs it. Absence is fine.
pub(crate) async fn remove_image(engine: &Engine, reference: &str) -> Result<(), Error> {
    remove_reference(engine, reference, RemoveImageOptions { force: true, ..Default::default() }).await
}

/// The same, but leaves the last reference to what a container was made of.
async fn remove_unused(engine: &Engine, reference: &str) -> Result<(), Error> {
    remove_reference(engine, reference, RemoveImageOptions::default()).await
}

async fn remove_reference(
    engine: &Engine,
    reference: &str,
    options: RemoveImageOptions,
) -> Result<(), Error> {
    match engine.docker().await?.remove_image(reference, Some(options), None).await {
        Err(error) if has_status(&error, 409) => {
            Err(Error::Refused("the image is in use by a container".to_owned()))
        }
        Err(error) if !is_absent(&error) => Err(error.into()),
        _ => Ok(()),
    }
}

async fn remove_containers(engine: &Engine, containers: &[Owned], grace_seconds: u32) -> Result<(), Error> {
    try_join_all(containers.iter().map(|container| stop_one(engine, container, grace_seconds))).await?;
    try_join_all(containers.iter().map(|container| engine.remove_container(&container.id))).await?;
    Ok(())
}

/// Removes a gate volume when it carries our signature.
async fn remove_volume(engine: &Engine, name: &str) -> Result<(), Error> {
    let docker = engine.docker().await?;
    let volume = match docker.inspect_volume(name).await {
        Ok(volume) => volume,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    match ObjectLabels::verify(&volume.labels, &engine.key, &engine.instance) {
        Ok(labels) if matches!(labels.kind, ObjectKind::Gate | ObjectKind::Cache | ObjectKind::Build) => {
            absent_is_fine(docker.remove_volume(name, None::<RemoveVolumeOptions>).await)
        }
        _ => {
            tracing::warn!(volume = name, "a volume claims to be ours");
            Ok(())
        }
    }
}
