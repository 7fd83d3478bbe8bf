//! Pomegranate, the deployment manager: builds images and runs releases as containers of one engine.
//!
//! The engine and its labels are the state; beside them there is only the highest fence per project.

mod build;
mod config;
mod confirm;
mod disk;
mod engine;
mod error;
mod fence;
mod lines;
mod logs;
mod metrics;
mod proxy;
mod registry;
mod release;
mod request;
mod service;
mod source;
mod stats;
mod status;
mod volume;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use anyhow::{Context as _, ensure};
use paastech_labels::LabelKey;
use paastech_proto::pomegranate::pomegranate_server::PomegranateServer;
use paastech_runtime::Clock;

pub use build::{Manifest, manifest_schema};
pub use config::{
    BuildConfig, BuildpackConfig, Config, LimitsConfig, ProxyConfig, ProxyKind, RegistryConfig,
};
pub use service::Handler;

use crate::{
    build::Builds, engine::Engine, fence::Fences, metrics::METRICS, registry::Registry, source::Sources,
};

/// A built Pomegranate.
#[derive(Clone)]
pub struct Service {
    handler: Handler,
}

impl Service {
    /// The gRPC server, to be served over TCP or called in process.
    #[must_use]
    pub fn server(&self) -> PomegranateServer<Handler> {
        PomegranateServer::new(self.handler.clone())
    }
}

fn check(config: &Config) -> anyhow::Result<()> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    ensure!(
        (1..=64).contains(&config.instance.len()) && config.instance.bytes().all(plain),
        "pomegranate: `instance` must be 1 to 64 letters, digits and hyphens"
    );
    Ok(())
}

/// The folder of the sockets of engine gates.
fn gate_dir(config: &Config) -> PathBuf {
    config.gate_dir.clone().unwrap_or_else(|| config.state_dir.join("gates"))
}

fn made(dir: &Path) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(dir)?;
    dir.canonicalize()
}

/// The gates of an earlier process serve nobody.
fn empty(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(made(dir)?)? {
        std::fs::remove_dir_all(entry?.path())?;
    }
    Ok(())
}

/// Opens the state folder and clears what an interrupted process left. The engine need not be up yet.
///
/// # Errors
/// A malformed installation id, or a state folder that cannot be used.
pub async fn build(config: Config, key: LabelKey) -> anyhow::Result<Service> {
    check(&config)?;
    LazyLock::force(&METRICS);
    paastech_engine_gate::metrics::register();
    let engine = Engine::new(config.socket.clone(), config.instance.clone(), key.clone());
    if let Err(error) = volume::sweep(&engine).await {
        tracing::warn!(%error, "the engine does not answer yet");
    }
    let dir = gate_dir(&config);
    empty(&dir).with_context(|| format!("folder of gates {}", dir.display()))?;
    beside(config, key)
}

/// The same beside one that may be running: clears nothing.
///
/// # Errors
/// As [`build`].
pub fn beside(config: Config, key: LabelKey) -> anyhow::Result<Service> {
    check(&config)?;
    let state = || format!("state folder {}", config.state_dir.display());
    let fences = Fences::open(config.state_dir.join("fences")).with_context(state)?;
    let sources =
        Sources::open(config.state_dir.join("sources"), config.build.source_bytes).with_context(state)?;
    let registry = config.registry.clone().map(Registry::new).transpose().context("registry")?;
    let engine = Engine::new(config.socket.clone(), config.instance.clone(), key).with_registry(registry);
    let engine = Arc::new(engine);
    let sources = Arc::new(sources);
    let dir = gate_dir(&config);
    let gates = made(&dir).with_context(|| format!("folder of gates {}", dir.display()))?;
    let builds = Builds::new(Arc::clone(&engine), Arc::clone(&sources), Clock::system(), &config, gates);
    Ok(Service { handler: Handler::new(config, engine, fences, sources, builds) })
}
