//! What containers see of us: a read-only volume with the probe, and a read-only volume per release with its gate.
//!
//! Both are written through a holder: a container that is never started and only gives access to the volume, because
//! a file cannot be put into a read-only mount of a running one.

use std::collections::HashMap;

use bollard::{
    body_full,
    models::{ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions},
    query_parameters::{
        ContainerArchiveInfoOptions, CreateContainerOptions, ListContainersOptions, ListVolumesOptions,
        RemoveVolumeOptions, UploadToContainerOptions,
    },
};
use paastech_labels::{ObjectKind, ObjectLabels, instance_selector, names};
use paastech_types::{ProjectId, ReleaseId};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    build::buildpack::workspace,
    engine::Engine,
    error::{Error, has_status, is_absent},
};

static PROBE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/probe"));

/// Where the probe's volume is in every container.
const PROBE_DIR: &str = "/.paastech/probe";
/// Where the release's gate volume is.
const GATE_DIR: &str = "/.paastech/gate";
/// The probe, inside a container.
pub(crate) const PROBE_PATH: &str = "/.paastech/probe/probe";
/// The gate file, inside a container: open when it is there and not empty.
pub(crate) const GATE_PATH: &str = "/.paastech/gate/ready";

/// The two mounts of an app's container.
pub(crate) fn mounts(engine: &Engine, project: ProjectId, release: ReleaseId) -> Vec<Mount> {
    vec![mount(probe_volume(engine), PROBE_DIR, true), mount(gate_volume(project, release), GATE_DIR, true)]
}

/// The name of a release's gate volume.
pub(crate) fn gate_volume(project: ProjectId, release: ReleaseId) -> String {
    format!("pt-{project}-{release}-gate")
}

/// Its name tells its content, so that a newer probe gets a volume of its own.
fn probe_volume(engine: &Engine) -> String {
    format!("{}-probe-{}", engine.prefix, hex::encode(&Sha256::digest(PROBE)[..4]))
}

fn mount(volume: String, target: &str, read_only: bool) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(volume),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        // Otherwise what the image has at this path would be copied in.
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
        ..Mount::default()
    }
}

/// Makes the volume with the probe, and puts it in unless it is there. `image` may be any.
pub(crate) async fn ensure_probe(engine: &Engine, image: &str) -> Result<(), Error> {
    let volume = probe_volume(engine);
    engine.ensure_volume(&volume, &ObjectLabels::shared(&engine.instance, ObjectKind::Probe)).await?;
    let holder = Holder::create(engine, image, mount(volume, PROBE_DIR, false)).await?;
    let outcome = async {
        if !holder.has(PROBE_PATH, PROBE.len()).await? {
            holder.put(PROBE_DIR, "probe", 0o555, PROBE).await?;
        }
        Ok(())
    };
    let outcome = outcome.await;
    holder.remove().await?;
    outcome
}

/// Makes a release's gate volume.
pub(crate) async fn ensure_gate(
    engine: &Engine,
    project: ProjectId,
    release: ReleaseId,
) -> Result<(), Error> {
    let labels = ObjectLabels {
        project: Some(project),
        release: Some(release),
        ..ObjectLabels::shared(&engine.instance, ObjectKind::Gate)
    };
    engine.ensure_volume(&gate_volume(project, release), &labels).await
}

/// Which way to turn a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Let traffic in.
    Open,
    /// Keep it out, also when the containers start again.
    Shut,
}

/// Opens or shuts a release's gate.
pub(crate) async fn turn_gate(
    engine: &Engine,
    (project, release): (ProjectId, ReleaseId),
    image: &str,
    turn: Turn,
) -> Result<(), Error> {
    let content: &[u8] = if turn == Turn::Open { b"open\n" } else { b"" };
    let holder = Holder::create(engine, image, mount(gate_volume(project, release), GATE_DIR, false)).await?;
    let outcome = holder.put(GATE_DIR, "ready", 0o444, content).await;
    holder.remove().await?;
    outcome
}

/// Removes what no longer serves: holders, what builds left, and volumes of older probes.
pub(crate) async fn sweep(engine: &Engine) -> Result<(), Error> {
    sweep_holders(engine).await?;
    workspace::remove(engine, None).await?;
    sweep_probes(engine).await
}

/// Removes the holders that an interrupted process left.
async fn sweep_holders(engine: &Engine) -> Result<(), Error> {
    let selectors =
        vec![instance_selector(&engine.instance), format!("{}={}", names::KIND, ObjectKind::Holder.name())];
    let options = ListContainersOptions {
        all: true,
        filters: Some([("label".to_owned(), selectors)].into()),
        ..ListContainersOptions::default()
    };
    for container in engine.docker().await?.list_containers(Some(options)).await? {
        let (Some(id), Some(labels)) = (container.id, container.labels) else { continue };
        if ObjectLabels::verify(&labels, &engine.key, &engine.instance).is_ok() {
            engine.remove_container(&id).await?;
        }
    }
    Ok(())
}

/// Removes the volumes of older probes, but those that a container still has.
async fn sweep_probes(engine: &Engine) -> Result<(), Error> {
    let current = probe_volume(engine);
    let selectors =
        vec![instance_selector(&engine.instance), format!("{}={}", names::KIND, ObjectKind::Probe.name())];
    let options = ListVolumesOptions { filters: Some([("label".to_owned(), selectors)].into()) };
    let docker = engine.docker().await?;
    for volume in docker.list_volumes(Some(options)).await?.volumes.unwrap_or_default() {
        let ours = ObjectLabels::verify(&volume.labels, &engine.key, &engine.instance).is_ok();
        if !ours || volume.name == current {
            continue;
        }
        match docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await {
            Err(error) if !is_absent(&error) && !has_status(&error, 409) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

struct Holder<'a> {
    engine: &'a Engine,
    id: String,
}

impl<'a> Holder<'a> {
    async fn create(engine: &'a Engine, image: &str, mount: Mount) -> Result<Self, Error> {
        let labels: HashMap<String, String> = ObjectLabels::shared(&engine.instance, ObjectKind::Holder)
            .to_labels(&engine.key)
            .into_iter()
            .collect();
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            // Never run, but an image without a command is not accepted without one.
            cmd: Some(vec!["-".to_owned()]),
            labels: Some(labels),
            network_disabled: Some(true),
            host_config: Some(HostConfig { mounts: Some(vec![mount]), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        let name = format!("{}-holder-{}", engine.prefix, Uuid::new_v4().simple());
        let options = CreateContainerOptions { name: Some(name), ..CreateContainerOptions::default() };
        let id = engine.docker().await?.create_container(Some(options), body).await?.id;
        Ok(Self { engine, id })
    }

    async fn has(&self, path: &str, size: usize) -> Result<bool, Error> {
        let options = ContainerArchiveInfoOptions { path: path.to_owned() };
        match self.engine.docker().await?.get_container_archive_info(&self.id, Some(options)).await {
            Ok(stat) => Ok(usize::try_from(stat.size).is_ok_and(|found| found == size)),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn put(&self, dir: &str, name: &str, mode: u32, content: &[u8]) -> Result<(), Error> {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_data(&mut header, name, content)?;
        let options =
            UploadToContainerOptions { path: dir.to_owned(), ..UploadToContainerOptions::default() };
        let body = body_full(archive.into_inner()?.into());
        Ok(self.engine.docker().await?.upload_to_container(&self.id, Some(options), body).await?)
    }

    async fn remove(self) -> Result<(), Error> {
        self.engine.remove_container(&self.id).await
    }
}
