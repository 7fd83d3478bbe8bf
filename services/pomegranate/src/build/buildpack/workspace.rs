//! What one build has in the engine: its volumes, its project's caches, and a container that only gives access to
//! them. Everything carries the build's label, and goes with it.

use std::{collections::HashMap, path::Path, sync::Arc};

use bollard::{
    body_try_stream,
    models::{ContainerCreateBody, HostConfig, Mount, MountType},
    query_parameters::{
        CreateContainerOptions, DownloadFromContainerOptions, ListContainersOptions, ListVolumesOptions,
        RemoveVolumeOptions, UploadToContainerOptions,
    },
};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _, stream};
use paastech_labels::{ObjectKind, ObjectLabels, instance_selector, names};
use paastech_runtime::Chunks;
use paastech_types::{BuildId, ProjectId};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    build::buildpack::{
        source::{Files, Owner, first_file, write_app},
        stop::Stop,
    },
    disk,
    engine::Engine,
    error::{Error, has_status, is_absent},
};

/// A file of the lifecycle's that we read.
const FILE_LIMIT: u64 = 1 << 20;

/// The volumes of a build, by where the phases see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Volume {
    /// The app's source: `/workspace`.
    App,
    /// What detect finds; nothing else that it leaves is seen again: `/detected`.
    Detected,
    /// What buildpacks make: `/layers`.
    Layers,
    /// What phases tell each other and tenant code may not change: `/meta`.
    Meta,
    /// The build's variables: `/platform`.
    Platform,
    /// The project's build cache: `/cache`.
    Cache,
    /// The project's launch cache: `/launch-cache`.
    LaunchCache,
}

impl Volume {
    /// Those that live as long as the build.
    const OF_BUILD: [Self; 5] = [Self::App, Self::Detected, Self::Layers, Self::Meta, Self::Platform];
    /// Those that live as long as the project.
    const OF_PROJECT: [Self; 2] = [Self::Cache, Self::LaunchCache];

    fn path(self) -> &'static str {
        match self {
            Self::App => "/workspace",
            Self::Detected => "/detected",
            Self::Layers => "/layers",
            Self::Meta => "/meta",
            Self::Platform => "/platform",
            Self::Cache => "/cache",
            Self::LaunchCache => "/launch-cache",
        }
    }
}

/// One build's things.
pub(crate) struct Workspace {
    engine: Arc<Engine>,
    /// Whose it is.
    pub(crate) project: ProjectId,
    /// Which build.
    pub(crate) build: BuildId,
    /// The image of the holder.
    image: String,
    /// The container that gives access to the volumes.
    holder: String,
}

impl Workspace {
    /// Makes the volumes anew, empty but for the caches. `image` may be any that is here.
    pub(crate) async fn create(
        engine: &Arc<Engine>,
        project: ProjectId,
        build: BuildId,
        image: &str,
    ) -> Result<Self, Error> {
        remove(engine, Some(build)).await?;
        let (engine, image) = (Arc::clone(engine), image.to_owned());
        let mut workspace = Self { engine, project, build, image, holder: String::new() };
        for volume in Volume::OF_BUILD {
            let labels = workspace.labels(ObjectKind::Build);
            workspace.engine.ensure_volume(&workspace.name(volume), &labels).await?;
        }
        workspace.hold().await?;
        Ok(workspace)
    }

    /// Empties the project's caches.
    pub(crate) async fn reset_caches(&mut self, owner: Owner) -> Result<(), Error> {
        // The holder, and phases that are being removed.
        remove_containers(&self.engine, Some(self.build)).await?;
        clear_caches(&self.engine, self.project).await?;
        self.hold().await?;
        self.own_caches(owner).await
    }

    /// Gives the roots of the caches their owner.
    pub(crate) async fn own_caches(&self, owner: Owner) -> Result<(), Error> {
        let mut files = Files::new(owner);
        for volume in Volume::OF_PROJECT {
            files.dir(volume.path().trim_start_matches('/'))?;
        }
        self.put(files.finish()?).await
    }

    /// Makes the caches, unless they are there, and the holder of all.
    async fn hold(&mut self) -> Result<(), Error> {
        for volume in Volume::OF_PROJECT {
            let labels = cache_labels(&self.engine, self.project);
            self.engine.ensure_volume(&self.name(volume), &labels).await?;
        }
        let all = Volume::OF_BUILD.into_iter().chain(Volume::OF_PROJECT);
        let body = ContainerCreateBody {
            image: Some(self.image.clone()),
            cmd: Some(vec!["-".to_owned()]),
            labels: Some(self.signed()),
            network_disabled: Some(true),
            host_config: Some(HostConfig {
                mounts: Some(all.map(|volume| self.mount(volume, false)).collect()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        self.holder = self.create_container("holder", body).await?;
        Ok(())
    }

    /// Creates a container of this build.
    pub(crate) async fn create_container(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<String, Error> {
        let name = Some(format!("pt-build-{}-{name}", self.build));
        let options = CreateContainerOptions { name, ..CreateContainerOptions::default() };
        Ok(self.engine.docker().await?.create_container(Some(options), body).await?.id)
    }

    /// The labels of its containers.
    pub(crate) fn signed(&self) -> HashMap<String, String> {
        self.labels(ObjectKind::Build).to_labels(&self.engine.key).into_iter().collect()
    }

    /// One of its volumes, where phases see it.
    pub(crate) fn mount(&self, volume: Volume, read_only: bool) -> Mount {
        Mount {
            typ: Some(MountType::VOLUME),
            source: Some(self.name(volume)),
            target: Some(volume.path().to_owned()),
            read_only: Some(read_only),
            volume_options: Some(bollard::models::MountVolumeOptions {
                no_copy: Some(true),
                ..bollard::models::MountVolumeOptions::default()
            }),
            ..Mount::default()
        }
    }

    /// Fills the app's volume from the source at `tar`.
    pub(crate) async fn put_app(&self, tar: &Path, path: &str, owner: Owner) -> Result<(), Stop> {
        let (send, receive) = mpsc::channel(4);
        let (tar, path) = (tar.to_owned(), path.to_owned());
        let write = tokio::task::spawn_blocking(move || {
            let to = Chunks::new(|chunk| {
                send.blocking_send(Ok(chunk)).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
            });
            write_app(&tar, &path, owner, to).inspect_err(|_| {
                drop(send.blocking_send(Err(std::io::Error::other("the source cannot be read"))));
            })
        });
        let upload = self.upload(ReceiverStream::new(receive)).await;
        write
            .await
            .map_err(|panic| Error::State(panic.into()))?
            .map_err(|error| Stop::failed(format!("the source is not a readable tar: {error}")))?;
        Ok(upload?)
    }

    /// Puts small files: a tar of paths from the root.
    pub(crate) async fn put(&self, tar: Vec<u8>) -> Result<(), Error> {
        self.upload(stream::iter([Ok(Bytes::from(tar))])).await
    }

    async fn upload(
        &self,
        chunks: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), Error> {
        let body = body_try_stream(chunks);
        let options = UploadToContainerOptions { path: "/".to_owned(), ..Default::default() };
        Ok(self.engine.docker().await?.upload_to_container(&self.holder, Some(options), body).await?)
    }

    /// Reads a small regular file; `None` when there is none.
    pub(crate) async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let options = DownloadFromContainerOptions { path: path.to_owned() };
        let docker = self.engine.docker().await?;
        let mut stream = Box::pin(docker.download_from_container(&self.holder, Some(options)));
        let mut bytes = Vec::new();
        loop {
            match stream.try_next().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) if is_absent(&error) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
            if bytes.len() as u64 > FILE_LIMIT + 4096 {
                return Ok(None);
            }
        }
        Ok(first_file(&bytes, FILE_LIMIT)?)
    }

    /// Bytes in the build's volumes and in the container `id`.
    pub(crate) async fn bytes(&self, id: &str) -> Result<u64, Error> {
        let docker = self.engine.docker().await?;
        let options = bollard::query_parameters::InspectContainerOptions { size: true };
        let container = docker.inspect_container(id, Some(options)).await?.size_rw.unwrap_or_default();
        Ok(u64::try_from(container).unwrap_or_default() + self.bytes_in(&Volume::OF_BUILD).await?)
    }

    /// Bytes in the project's caches.
    pub(crate) async fn cache_bytes(&self) -> Result<u64, Error> {
        self.bytes_in(&Volume::OF_PROJECT).await
    }

    async fn bytes_in(&self, wanted: &[Volume]) -> Result<u64, Error> {
        let names: Vec<String> = wanted.iter().map(|volume| self.name(*volume)).collect();
        let volumes = disk::volumes(&self.engine).await?;
        Ok(volumes.iter().filter(|(name, _)| names.contains(name)).map(|(_, size)| size).sum())
    }

    fn labels(&self, kind: ObjectKind) -> ObjectLabels {
        ObjectLabels {
            project: Some(self.project),
            build: Some(self.build),
            ..ObjectLabels::shared(&self.engine.instance, kind)
        }
    }

    fn name(&self, volume: Volume) -> String {
        match volume {
            Volume::Cache => cache_names(self.project)[0].clone(),
            Volume::LaunchCache => cache_names(self.project)[1].clone(),
            of_build => format!("pt-build-{}{}", self.build, of_build.path().replace('/', "-")),
        }
    }
}

fn cache_labels(engine: &Engine, project: ProjectId) -> ObjectLabels {
    ObjectLabels { project: Some(project), ..ObjectLabels::shared(&engine.instance, ObjectKind::Cache) }
}

/// The volumes of a project's caches.
pub(crate) fn cache_names(project: ProjectId) -> [String; 2] {
    [format!("pt-{project}-cache"), format!("pt-{project}-launch-cache")]
}

/// Removes all that a build left, or all that any build left.
pub(crate) async fn remove(engine: &Engine, build: Option<BuildId>) -> Result<(), Error> {
    remove_containers(engine, build).await?;
    let docker = engine.docker().await?;
    let options = ListVolumesOptions { filters: filters(engine, build) };
    let volumes = docker.list_volumes(Some(options)).await?.volumes;
    for volume in volumes.unwrap_or_default().iter().filter(|volume| is_ours(engine, &volume.labels)) {
        match docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await {
            Err(error) if !is_absent(&error) && !has_status(&error, 409) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

async fn remove_containers(engine: &Engine, build: Option<BuildId>) -> Result<(), Error> {
    let options = ListContainersOptions { all: true, filters: filters(engine, build), ..Default::default() };
    for container in engine.docker().await?.list_containers(Some(options)).await? {
        if let (Some(id), Some(labels)) = (container.id, container.labels)
            && is_ours(engine, &labels)
        {
            engine.remove_container(&id).await?;
        }
    }
    Ok(())
}

/// What a build has, or what any build has.
fn filters(engine: &Engine, build: Option<BuildId>) -> Option<HashMap<String, Vec<String>>> {
    let mut selectors =
        vec![instance_selector(&engine.instance), format!("{}={}", names::KIND, ObjectKind::Build.name())];
    selectors.extend(build.map(|build| format!("{}={build}", names::BUILD)));
    Some([("label".to_owned(), selectors)].into())
}

fn is_ours(engine: &Engine, labels: &HashMap<String, String>) -> bool {
    ObjectLabels::verify(labels, &engine.key, &engine.instance).is_ok()
}

/// Removes a project's caches; a running build keeps its own.
pub(crate) async fn clear_caches(engine: &Engine, project: ProjectId) -> Result<(), Error> {
    for name in cache_names(project) {
        match engine.docker().await?.remove_volume(&name, None::<RemoveVolumeOptions>).await {
            Err(error) if has_status(&error, 409) => {
                return Err(Error::NotYet(
                    "a build is using the cache: try again when it has ended".to_owned(),
                ));
            }
            Err(error) if !is_absent(&error) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
