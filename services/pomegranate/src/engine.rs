//! The connection to the container engine, and what of it is ours.

use std::{
    collections::HashMap,
    iter,
    path::{Path, PathBuf},
    time::Duration,
};

use bollard::{
    Docker,
    models::{ContainerInspectResponse, ImageInspect, NetworkCreateRequest, VolumeCreateRequest},
    query_parameters::{ListContainersOptions, RemoveContainerOptions},
};
use paastech_labels::{
    LabelKey, ObjectKind, ObjectLabels, RouteLabels, image_prefix, instance_selector, names,
};
use paastech_types::{BuildId, ProjectId, ReleaseId};
use tokio::{
    sync::{Mutex, OnceCell},
    time::Instant,
};

use crate::{
    error::{Error, absent_is_fine, has_status, is_absent},
    registry::Registry,
};

/// Seconds for the head of an answer; stopping a container answers only after its grace.
const TIMEOUT: u64 = 180;
/// The longest that somebody else's removal of a container is waited for.
const REMOVAL: Duration = Duration::from_secs(20);
const REMOVAL_PAUSE: Duration = Duration::from_millis(50);

/// One engine, and one installation on it.
pub(crate) struct Engine {
    socket: PathBuf,
    docker: OnceCell<Docker>,
    /// The installation.
    pub(crate) instance: String,
    /// Signs labels.
    pub(crate) key: LabelKey,
    /// What the names of this installation's things begin with.
    pub(crate) prefix: String,
    /// What keeps the images besides.
    pub(crate) registry: Option<Registry>,
    making: Mutex<()>,
}

/// A container that is ours.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    /// The engine's id.
    pub(crate) id: String,
    /// What its labels say.
    pub(crate) labels: RouteLabels,
}

impl Owned {
    /// Its name, the same at every attempt.
    pub(crate) fn name(&self) -> String {
        container_name(self.labels.project, self.labels.release, self.labels.ordinal)
    }
}

/// The name of a release's `ordinal`-th container.
pub(crate) fn container_name(project: ProjectId, release: ReleaseId, ordinal: u32) -> String {
    format!("pt-{project}-{release}-{ordinal}")
}

impl Engine {
    /// Connects at the first use.
    pub(crate) fn new(socket: PathBuf, instance: String, key: LabelKey) -> Self {
        let prefix = image_prefix(&instance);
        let making = Mutex::new(());
        Self { socket, docker: OnceCell::new(), instance, key, prefix, registry: None, making }
    }

    /// The same, with a registry.
    pub(crate) fn with_registry(self, registry: Option<Registry>) -> Self {
        Self { registry, ..self }
    }

    /// The engine's Unix socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The client, speaking a version that the engine knows.
    pub(crate) async fn docker(&self) -> Result<&Docker, Error> {
        self.docker
            .get_or_try_init(|| async {
                let path = self.socket.to_string_lossy();
                let docker = Docker::connect_with_unix(&path, TIMEOUT, bollard::API_DEFAULT_VERSION)?;
                Ok(docker.negotiate_version().await?)
            })
            .await
    }

    /// Whether the engine answers now.
    pub(crate) async fn answers(&self) -> Result<(), Error> {
        self.docker().await?.ping().await?;
        Ok(())
    }

    /// The bridge that this installation's apps are on; also the name of its interface.
    pub(crate) fn network(&self) -> String {
        self.prefix.clone()
    }

    /// What a build's image is called. Any local reference can be named in a tenant's FROM, so none must be guessable:
    /// the tag is a hash that only the holder of our key can make.
    pub(crate) fn build_reference(&self, project: ProjectId, build: BuildId) -> String {
        format!("{}:{}", self.repository(project), self.key.digest(format!("image {build}").as_bytes()))
    }

    /// What the references of a project's images begin with.
    pub(crate) fn repository(&self, project: ProjectId) -> String {
        format!("{}/{project}", self.prefix)
    }

    /// What the references of all our images begin with, here and in the registry.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &str> {
        iter::once(self.prefix.as_str()).chain(self.registry.as_ref().map(Registry::root))
    }

    /// Whose image a reference names; `None` when it is none of ours.
    pub(crate) fn owner(&self, reference: &str) -> Option<ProjectId> {
        let rest = self
            .roots()
            .find_map(|root| reference.strip_prefix(root).and_then(|rest| rest.strip_prefix('/')))?;
        rest.split([':', '@']).next()?.parse().ok()
    }

    /// Makes the bridge that builds are on, and says its name.
    pub(crate) async fn ensure_build_network(&self) -> Result<String, Error> {
        let name = format!("{}-b", self.prefix);
        self.ensure_bridge(&name, ObjectKind::BuildNetwork).await?;
        Ok(name)
    }

    /// Makes the bridge that apps are on.
    pub(crate) async fn ensure_network(&self) -> Result<(), Error> {
        self.ensure_bridge(&self.network(), ObjectKind::Network).await
    }

    /// Makes a bridge: its containers reach the world and the host reaches them, but not they each other.
    async fn ensure_bridge(&self, name: &str, kind: ObjectKind) -> Result<(), Error> {
        let _one = self.making.lock().await;
        let docker = self.docker().await?;
        match docker.inspect_network(name, None).await {
            Ok(found) => return self.own_object(found.labels.as_ref(), kind, name),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(error.into()),
        }
        let labels = ObjectLabels::shared(&self.instance, kind).to_labels(&self.key);
        let options =
            [("com.docker.network.bridge.name", name), ("com.docker.network.bridge.enable_icc", "false")];
        docker
            .create_network(NetworkCreateRequest {
                name: name.to_owned(),
                driver: Some("bridge".to_owned()),
                options: Some(options.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
                labels: Some(labels.into_iter().collect()),
                ..NetworkCreateRequest::default()
            })
            .await?;
        Ok(())
    }

    /// Makes a volume with these labels, unless it is there.
    pub(crate) async fn ensure_volume(&self, name: &str, labels: &ObjectLabels) -> Result<(), Error> {
        let volume = self
            .docker()
            .await?
            .create_volume(VolumeCreateRequest {
                name: Some(name.to_owned()),
                labels: Some(labels.to_labels(&self.key).into_iter().collect()),
                ..VolumeCreateRequest::default()
            })
            .await?;
        self.own_object(Some(&volume.labels), labels.kind, name)
    }

    fn own_object(
        &self,
        labels: Option<&HashMap<String, String>>,
        kind: ObjectKind,
        name: &str,
    ) -> Result<(), Error> {
        let ours = labels.is_some_and(|labels| {
            ObjectLabels::verify(labels, &self.key, &self.instance).is_ok_and(|l| l.kind == kind)
        });
        if ours { Ok(()) } else { Err(Error::Refused(format!("{name} is there, but is not ours"))) }
    }

    /// Our app containers, of one project when it is given. What has our label but not our signature is left out.
    pub(crate) async fn containers(&self, project: Option<ProjectId>) -> Result<Vec<Owned>, Error> {
        let mut selectors =
            vec![instance_selector(&self.instance), format!("{}={}", names::KIND, ObjectKind::App.name())];
        selectors.extend(project.map(|project| format!("{}={project}", names::PROJECT)));
        let options = ListContainersOptions {
            all: true,
            filters: Some([("label".to_owned(), selectors)].into()),
            ..ListContainersOptions::default()
        };
        let mut owned = Vec::new();
        for container in self.docker().await?.list_containers(Some(options)).await? {
            let (Some(id), Some(labels)) = (container.id, container.labels) else { continue };
            match RouteLabels::verify(&labels, &self.key, &self.instance) {
                Ok(labels) if project.is_none_or(|wanted| wanted == labels.project) => {
                    owned.push(Owned { id, labels });
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(container = id, %error, "a container claims to be ours"),
            }
        }
        owned.sort_by_key(|container| (container.labels.seq, container.labels.ordinal));
        Ok(owned)
    }

    /// A release's containers.
    pub(crate) async fn release(&self, project: ProjectId, release: ReleaseId) -> Result<Vec<Owned>, Error> {
        let mut containers = self.containers(Some(project)).await?;
        containers.retain(|container| container.labels.release == release);
        Ok(containers)
    }

    /// A container's state; `None` when it is gone.
    pub(crate) async fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>, Error> {
        match self.docker().await?.inspect_container(id, None).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// An image; `None` when there is none of that reference.
    pub(crate) async fn image(&self, reference: &str) -> Result<Option<ImageInspect>, Error> {
        match self.docker().await?.inspect_image(reference).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// An image of the project's, pulled unless it is here; `None` when there is none of that reference.
    pub(crate) async fn ensure_image(
        &self,
        project: ProjectId,
        reference: &str,
        token: &str,
    ) -> Result<Option<ImageInspect>, Error> {
        let begins_as_ours = self.roots().any(|root| reference.starts_with(&format!("{root}/")));
        if begins_as_ours && self.owner(reference) != Some(project) {
            return Ok(None);
        }
        if let Some(found) = self.image(reference).await? {
            return Ok(Some(found));
        }
        match &self.registry {
            Some(registry) if begins_as_ours && registry.pull(self, project, reference, token).await? => {
                self.image(reference).await
            }
            _ => Ok(None),
        }
    }

    /// Kills and removes a container with its anonymous volumes; absence is fine, and so is somebody who does it
    /// already: it is gone afterwards.
    pub(crate) async fn remove_container(&self, id: &str) -> Result<(), Error> {
        let docker = self.docker().await?;
        let deadline = Instant::now() + REMOVAL;
        loop {
            let options = RemoveContainerOptions { v: true, force: true, link: false };
            match docker.remove_container(id, Some(options)).await {
                Err(error) if has_status(&error, 409) && Instant::now() < deadline => {
                    tokio::time::sleep(REMOVAL_PAUSE).await;
                }
                outcome => return absent_is_fine(outcome),
            }
        }
    }
}
