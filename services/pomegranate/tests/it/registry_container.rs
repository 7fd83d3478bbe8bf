//! The registry as it is deployed: in a container that carries the installation's label.

use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf};

use bollard::{
    models::{ContainerCreateBody, HostConfig},
    query_parameters::CreateContainerOptions,
};
use paastech_labels::names;
use paastech_registry::testing::{PROGRAM, Registry, config};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::world::World;

const BASE: &str = "paastech/base:12";
const CONFIG: &str = "/etc/paastech/registry.yml";

/// Starts it, and waits until it answers; it goes with its world.
pub(crate) async fn start(world: &World, registry: &Registry) {
    let dir = registry.dir();
    let owner = fs::metadata(dir).expect("there");
    let binds = [
        format!("{PROGRAM}:{PROGRAM}:ro"),
        format!("{}:{CONFIG}:ro", config().display()),
        format!("{0}:{0}", dir.display()),
    ];
    let instance = &world.config.instance;
    let labels = [(names::REGISTRY, instance), (names::INSTANCE, instance)];
    let body = ContainerCreateBody {
        image: Some(BASE.to_owned()),
        cmd: Some([PROGRAM, "serve", CONFIG].map(str::to_owned).into()),
        env: Some(registry.environment().map(|(name, value)| format!("{name}={value}")).into()),
        user: Some(format!("{}:{}", owner.uid(), owner.gid())),
        labels: Some(labels.map(|(name, value)| (name.to_owned(), value.clone())).into()),
        host_config: Some(HostConfig {
            network_mode: Some("host".to_owned()),
            binds: Some(binds.into()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptions { name: Some(format!("{instance}-registry")), ..Default::default() };
    let id = world.docker.create_container(Some(options), body).await.expect("created").id;
    world.docker.start_container(&id, None).await.expect("started");
    registry.await_answer();
}

/// Makes the next collection wait until the returned pipe is opened for writing: it opens it as a link to a manifest. It
/// may close it before anything can be written, as nobody seeks in a pipe.
pub(crate) fn hold_collection(registry: &Registry) -> PathBuf {
    let repository = registry.dir().join("data/docker/registry/v2/repositories/apps/held");
    let dir = repository.join("_manifests/revisions/sha256").join("a".repeat(64));
    fs::create_dir_all(repository.join("_layers")).expect("made");
    fs::create_dir_all(&dir).expect("made");
    let pipe = dir.join("link");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("made");
    pipe
}
