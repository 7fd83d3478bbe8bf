//! One phase of the lifecycle: a container of its own, its lines, its end.

use std::{sync::Arc, time::Duration};

use bollard::{
    container::AttachContainerResults,
    models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, ResourcesUlimits},
    query_parameters::AttachContainerOptions,
};
use futures_util::StreamExt as _;

use crate::{
    build::{
        buildpack::workspace::{Volume, Workspace},
        log::LINE_LIMIT,
    },
    config::BuildpackConfig,
    engine::Engine,
    error::Error,
    lines::Framer,
};

/// What the trusted phases need to give files their owners; nothing else has a capability.
const TRUSTED_CAPABILITIES: [&str; 5] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"];
const OPEN_FILES: i64 = 16_384;
/// How often the disk that a build uses is looked at.
const DISK_EVERY: Duration = Duration::from_secs(5);

/// Who runs in it.
#[derive(Debug, Clone)]
pub(crate) enum Trust {
    /// Upstream's programs alone, as root, with an engine gate's folder.
    Ours {
        /// The folder with the socket `s`.
        gate: std::path::PathBuf,
    },
    /// A tenant's code, as the builder's user.
    Tenant {
        /// `uid:gid`.
        user: String,
        /// The bridge that it may use, if any.
        network: Option<String>,
    },
}

/// What to run.
pub(crate) struct Phase {
    /// `detector`, …
    pub(crate) name: &'static str,
    pub(crate) image: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) env: Vec<String>,
    /// Volumes, and whether read-only.
    pub(crate) volumes: Vec<(Volume, bool)>,
    pub(crate) trust: Trust,
    pub(crate) limit: Duration,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// With this code.
    Code(i64),
    /// Killed for memory.
    OutOfMemory,
    /// Killed for what it wrote.
    OutOfDisk {
        /// The most it may write.
        limit_mib: u64,
    },
    /// Killed for its time.
    TooSlow {
        /// The longest it may take.
        seconds: u64,
    },
}

/// Runs it; each line goes to `told`.
pub(crate) async fn run(
    engine: &Arc<Engine>,
    workspace: &Workspace,
    config: &BuildpackConfig,
    phase: &Phase,
    told: impl FnMut(String),
) -> Result<Exit, Error> {
    let id = workspace.create_container(phase.name, body(workspace, config, phase)).await?;
    let docker = engine.docker().await?;
    // Before it starts, so that no line is missed; the engine keeps no log of it.
    let options = AttachContainerOptions {
        stream: true,
        stdout: true,
        stderr: true,
        ..AttachContainerOptions::default()
    };
    let attached = docker.attach_container(&id, Some(options)).await?;
    docker.start_container(&id, None).await?;
    let limit_mib = config.disk_mib;
    let cut = tokio::select! {
        lines = follow(attached, told) => { lines?; None }
        () = tokio::time::sleep(phase.limit) => Some(Exit::TooSlow { seconds: phase.limit.as_secs() }),
        () = disk_over(workspace, &id, limit_mib), if matches!(phase.trust, Trust::Tenant { .. }) => {
            Some(Exit::OutOfDisk { limit_mib })
        }
    };
    let end = match cut {
        Some(cut) => cut,
        None => ended(engine, &id).await?,
    };
    // The next phase need not wait for it; the end of the build does.
    let engine = Arc::clone(engine);
    tokio::spawn(async move {
        if let Err(error) = engine.remove_container(&id).await {
            tracing::debug!(%error, "a phase's container is left to the end of its build");
        }
    });
    Ok(end)
}

async fn follow(mut attached: AttachContainerResults, mut told: impl FnMut(String)) -> Result<(), Error> {
    let mut framer = Framer::new(LINE_LIMIT - 16);
    while let Some(chunk) = attached.output.next().await {
        framer.push(&chunk?.into_bytes()).into_iter().for_each(&mut told);
    }
    framer.finish().into_iter().for_each(&mut told);
    Ok(())
}

async fn ended(engine: &Engine, id: &str) -> Result<Exit, Error> {
    // The output ends a moment before the state says so.
    for _ in 0..100 {
        let found = engine.inspect(id).await?.ok_or(Error::NotFound("phase"))?;
        let state = found.state.unwrap_or_default();
        if state.running == Some(true) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        return Ok(match (state.oom_killed, state.exit_code) {
            (Some(true), _) => Exit::OutOfMemory,
            (_, code) => Exit::Code(code.unwrap_or(1)),
        });
    }
    Err(Error::NotYet("a phase's output ended before it did".to_owned()))
}

/// Returns when the build's volumes and the container's own files take more than they may.
async fn disk_over(workspace: &Workspace, id: &str, limit_mib: u64) {
    loop {
        tokio::time::sleep(DISK_EVERY).await;
        match workspace.bytes(id).await {
            Ok(used) if used > limit_mib << 20 => return,
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "the disk that a build uses cannot be asked for"),
        }
    }
}

fn body(workspace: &Workspace, config: &BuildpackConfig, phase: &Phase) -> ContainerCreateBody {
    let mut mounts: Vec<Mount> =
        phase.volumes.iter().map(|(volume, read_only)| workspace.mount(*volume, *read_only)).collect();
    let mut env = phase.env.clone();
    let (user, network, capabilities, tmpfs) = match &phase.trust {
        Trust::Ours { gate } => {
            mounts.push(Mount {
                typ: Some(MountType::BIND),
                source: Some(gate.to_string_lossy().into_owned()),
                target: Some("/gate".to_owned()),
                read_only: Some(true),
                ..Mount::default()
            });
            env.push("DOCKER_HOST=unix:///gate/s".to_owned());
            (
                "0:0".to_owned(),
                "none".to_owned(),
                TRUSTED_CAPABILITIES.map(str::to_owned).to_vec(),
                "rw,nosuid,nodev",
            )
        }
        Trust::Tenant { user, network } => {
            let network = network.clone().unwrap_or_else(|| "none".to_owned());
            (user.clone(), network, Vec::new(), "rw,nosuid,nodev,exec")
        }
    };
    let memory = i64::from(config.memory_mib) << 20;
    ContainerCreateBody {
        image: Some(phase.image.clone()),
        user: Some(user),
        entrypoint: Some(vec![format!("/cnb/lifecycle/{}", phase.name)]),
        cmd: Some(phase.arguments.clone()),
        env: Some(env),
        working_dir: Some("/layers".to_owned()),
        labels: Some(workspace.signed()),
        host_config: Some(HostConfig {
            mounts: Some(mounts),
            network_mode: Some(network),
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: Some(capabilities),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            memory: Some(memory),
            memory_swap: Some(memory),
            nano_cpus: Some(i64::from(config.cpu_millis) * 1_000_000),
            pids_limit: Some(i64::from(config.pids)),
            ulimits: Some(vec![
                ulimit("nofile", OPEN_FILES),
                ulimit("core", 0),
                ulimit("fsize", i64::try_from(config.disk_mib << 20).unwrap_or(i64::MAX)),
            ]),
            tmpfs: Some([("/tmp".to_owned(), tmpfs.to_owned())].into()),
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            init: Some(true),
            ipc_mode: Some("private".to_owned()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

fn ulimit(name: &str, value: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(value), hard: Some(value) }
}
