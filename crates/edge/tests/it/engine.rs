//! The edge and a real engine: what is signed and healthy is routed, and nothing else.

use std::{collections::HashMap, io::Write as _, net::SocketAddr, path::Path, sync::Arc};

use bollard::{
    API_DEFAULT_VERSION, Docker, body_full,
    models::{ContainerCreateBody, HealthConfig},
    query_parameters::{
        CreateContainerOptionsBuilder, CreateImageOptionsBuilder, InspectContainerOptions,
        RemoveContainerOptionsBuilder, RemoveImageOptions, StartContainerOptions,
        StopContainerOptionsBuilder,
    },
};
use futures_util::{FutureExt as _, TryStreamExt as _};
use http::StatusCode;
use paastech_edge::{Edge, EdgeConfig};
use paastech_labels::{LabelKey, RouteLabels, names};
use paastech_runtime::Shutdown;
use paastech_types::{ProjectId, ReleaseId};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::rig::{self, eventually};

const SOCKET: &str = "/var/run/docker.sock";
const MILLISECOND: i64 = 1_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn only_a_signed_and_healthy_container_is_routed() {
    let world = Arc::new(World::new().await);
    let story = std::panic::AssertUnwindSafe(story(&world)).catch_unwind().await;
    world.remove().await;
    if let Err(panic) = story {
        std::panic::resume_unwind(panic);
    }
}

async fn story(world: &World) {
    let (edge, shutdown) = world.edge().await;
    let signed = world.labels(1, "signed.localhost").to_labels(&world.key);
    let mut unsigned = world.labels(1, "unsigned.localhost").to_labels(&world.key);
    unsigned.remove(names::SIG);
    let mut added = world.labels(1, "added.localhost").to_labels(&world.key);
    added.insert("traefik.http.routers.x.rule".to_owned(), "Host(`signed.localhost`)".to_owned());
    let ours = world.start("signed", signed).await;
    for (name, labels) in [("unsigned", unsigned), ("added", added)] {
        let ip = world.start(name, labels).await;
        world.heal(name, ip).await;
    }

    let status = async |host: &str| rig::get(edge, host, "/").await.0;
    eventually("a starting container is known", async || {
        status("signed.localhost").await == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    world.heal("signed", ours).await;
    eventually("a healthy container is routed", async || status("signed.localhost").await == StatusCode::OK)
        .await;
    assert_eq!(rig::get(edge, "signed.localhost", "/").await.1, "live");
    for host in ["unsigned.localhost", "added.localhost"] {
        assert_eq!(status(host).await, StatusCode::NOT_FOUND, "{host}");
    }

    let next = world.start("next", world.labels(2, "signed.localhost").to_labels(&world.key)).await;
    world.heal("next", next).await;
    world.stop("signed").await;
    eventually("the next release serves alone", async || status("signed.localhost").await == StatusCode::OK)
        .await;
    world.stop("next").await;
    eventually("a stopped release is waited for", async || {
        status("signed.localhost").await == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    shutdown.stop(std::time::Duration::from_secs(5)).await;
}

/// What the test makes in the engine.
struct World {
    docker: Docker,
    instance: String,
    key: LabelKey,
    project: ProjectId,
}

impl World {
    async fn new() -> Self {
        let docker = Docker::connect_with_unix(SOCKET, 30, API_DEFAULT_VERSION).expect("an engine's socket");
        let docker = docker.negotiate_version().await.expect("an engine");
        let instance = format!("test-{}", uuid::Uuid::new_v4());
        let world = Self { docker, instance, key: LabelKey::new([5; 32]), project: ProjectId::new() };
        world.make_image().await;
        world
    }

    async fn edge(&self) -> (SocketAddr, Shutdown) {
        let config = EdgeConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            instance: self.instance.clone(),
            ..EdgeConfig::default()
        };
        let edge = Edge::build(config, self.key.clone()).await.expect("binds");
        let (addr, shutdown) = (edge.addr(), Shutdown::new());
        shutdown.spawn("edge", edge.run(shutdown.clone()));
        (addr, shutdown)
    }

    fn labels(&self, seq: i64, host: &str) -> RouteLabels {
        RouteLabels {
            instance: self.instance.clone(),
            project: self.project,
            release: ReleaseId::new(),
            seq,
            process: "web".to_owned(),
            ordinal: 1,
            hosts: vec![host.parse().expect("a host")],
            port: 8080,
            network: "bridge".to_owned(),
            spec_hash: "0".to_owned(),
        }
    }

    fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.instance)
    }

    async fn make_image(&self) {
        let binary = compile_app();
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(binary.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, "app", binary.as_slice()).expect("a tar");
        let tar = tar.into_inner().expect("a tar");
        let options = CreateImageOptionsBuilder::new()
            .from_src("-")
            .repo(&self.instance)
            .tag("app")
            .changes(vec![format!("LABEL {}={}", names::INSTANCE, self.instance)])
            .build();
        let made = self.docker.create_image(Some(options), Some(body_full(tar.into())), None);
        made.try_collect::<Vec<_>>().await.expect("an image");
    }

    /// Starts a container; it is not healthy before [`Self::heal`].
    async fn start(&self, name: &str, labels: impl IntoIterator<Item = (String, String)>) -> SocketAddr {
        let health = HealthConfig {
            test: Some(["CMD", "/app", "check"].map(str::to_owned).into()),
            interval: Some(100 * MILLISECOND),
            timeout: Some(5_000 * MILLISECOND),
            retries: Some(1_000),
            start_period: None,
            start_interval: None,
        };
        let body = ContainerCreateBody {
            image: Some(format!("{}:app", self.instance)),
            cmd: Some(vec!["/app".to_owned()]),
            labels: Some(labels.into_iter().collect::<HashMap<_, _>>()),
            healthcheck: Some(health),
            ..ContainerCreateBody::default()
        };
        let name = self.name(name);
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        self.docker.create_container(Some(options), body).await.expect("a container");
        self.docker.start_container(&name, None::<StartContainerOptions>).await.expect("starts");
        let container =
            self.docker.inspect_container(&name, None::<InspectContainerOptions>).await.expect("is there");
        let networks = container.network_settings.and_then(|settings| settings.networks).expect("networks");
        let ip = networks["bridge"].ip_address.as_deref().and_then(|ip| ip.parse().ok()).expect("an address");
        SocketAddr::new(ip, 8080)
    }

    /// Makes a container healthy, and waits until the engine says so.
    async fn heal(&self, name: &str, addr: SocketAddr) {
        eventually("the app answers", async || {
            let Ok(mut stream) = TcpStream::connect(addr).await else { return false };
            let mut answer = String::new();
            stream.write_all(b"GET /heal HTTP/1.1\r\n\r\n").await.is_ok()
                && stream.read_to_string(&mut answer).await.is_ok()
                && answer.ends_with("live")
        })
        .await;
        let name = self.name(name);
        eventually("the engine finds it healthy", async || {
            let container = self
                .docker
                .inspect_container(&name, None::<InspectContainerOptions>)
                .await
                .expect("is there");
            let health = container.state.and_then(|state| state.health).and_then(|health| health.status);
            health == Some(bollard::models::HealthStatusEnum::HEALTHY)
        })
        .await;
    }

    async fn stop(&self, name: &str) {
        let options = StopContainerOptionsBuilder::new().t(0).build();
        self.docker.stop_container(&self.name(name), Some(options)).await.expect("stops");
    }

    async fn remove(&self) {
        for name in ["signed", "unsigned", "added", "next"] {
            let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            self.docker.remove_container(&self.name(name), Some(options)).await.ok();
        }
        let image = format!("{}:app", self.instance);
        self.docker.remove_image(&image, None::<RemoveImageOptions>, None).await.expect("the image goes");
    }
}

/// The app as a static binary.
fn compile_app() -> Vec<u8> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/app.rs");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("edge-app");
    #[expect(clippy::disallowed_methods, reason = "the test builds what runs in its container")]
    let compiled = std::process::Command::new("rustc")
        .args([
            "--edition",
            "2024",
            "-C",
            "opt-level=s",
            "-C",
            "strip=symbols",
            "-C",
            "target-feature=+crt-static",
        ])
        .arg("-o")
        .arg(&target)
        .arg(&source)
        .output()
        .expect("rustc runs");
    std::io::stderr().write_all(&compiled.stderr).ok();
    assert!(compiled.status.success(), "the app compiles");
    std::fs::read(&target).expect("the binary")
}
