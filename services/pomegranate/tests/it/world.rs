//! What the tests stand on: a Pomegranate of their own, an app, and the removal of everything afterwards.

use std::{
    collections::HashMap,
    future::Future,
    path::PathBuf,
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};

use bollard::{
    Docker,
    query_parameters::{
        ListContainersOptions, ListImagesOptions, ListNetworksOptions, ListVolumesOptions,
        RemoveContainerOptions, RemoveImageOptions, RemoveVolumeOptions,
    },
};
use futures_util::{FutureExt as _, StreamExt as _};
use paastech_labels::{LabelKey, image_prefix, instance_selector};
use paastech_proto::pomegranate::{
    self as proto, BuildOutcome, BuildResult, follow_build_response::Event,
    pomegranate_client::PomegranateClient, put_source_request::Part,
};
use paastech_runtime::{Transport, transport::in_process};
use paastech_types::{BuildId, ProjectId, ReleaseId};
use pomegranate::Config;
use uuid::Uuid;

use crate::cable::Cable;

pub(crate) const SOCKET: &str = "/var/run/docker.sock";

/// One installation on the engine.
pub(crate) struct World {
    pub(crate) client: PomegranateClient<Transport>,
    pub(crate) docker: Docker,
    pub(crate) project: ProjectId,
    pub(crate) config: Config,
}

/// The key that every test installation signs with.
pub(crate) fn key() -> LabelKey {
    LabelKey::new([7; 32])
}

/// Runs a test in a world, and removes what it made whether it passes or not.
pub(crate) fn in_world<F, T>(test: F)
where
    F: FnOnce(World) -> T,
    T: Future<Output = ()>,
{
    in_world_with(|_| {}, test);
}

/// The same, with a configuration of its own.
pub(crate) fn in_world_with<F, T>(configure: impl FnOnce(&mut Config), test: F)
where
    F: FnOnce(World) -> T,
    T: Future<Output = ()>,
{
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let docker = Docker::connect_with_unix(SOCKET, 120, bollard::API_DEFAULT_VERSION)
            .expect("these tests need a container engine: cargo xtask engine")
            .negotiate_version()
            .await
            .expect("these tests need a container engine: cargo xtask engine");
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = Config {
            socket: SOCKET.into(),
            state_dir: dir.path().join("state"),
            instance: format!("test-{}", Uuid::new_v4()),
            grace_seconds: 2,
            ..Config::default()
        };
        configure(&mut config);
        let instance = config.instance.clone();
        let mut roots = vec![image_prefix(&instance)];
        roots.extend(
            config.registry.as_ref().map(|registry| format!("{}/{}", registry.address, registry.prefix)),
        );
        let client = client(config.clone()).await;
        let world = World { client, docker: docker.clone(), project: ProjectId::new(), config };
        let outcome = std::panic::AssertUnwindSafe(test(world)).catch_unwind().await;
        remove_everything(&docker, &instance, &roots).await;
        drop(dir);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

/// A client of a Pomegranate in this process.
pub(crate) async fn client(config: Config) -> PomegranateClient<Transport> {
    let service = pomegranate::build(config, key()).await.expect("builds");
    PomegranateClient::new(in_process(service.server()))
}

impl World {
    /// The engine loses every image of the project.
    pub(crate) async fn lose_images(&self) {
        let registry = self.config.registry.as_ref();
        let kept = registry.map(|registry| format!("{}/{}", registry.address, registry.prefix));
        for root in kept.into_iter().chain([image_prefix(&self.config.instance)]) {
            remove_images(&self.docker, &format!("{root}/{}", self.project)).await;
        }
    }

    /// Another project's or a higher fence's scope.
    pub(crate) fn scope(&self, fence: i64) -> Option<proto::Scope> {
        Some(proto::Scope { project_id: self.project.to_string(), fence })
    }

    /// Reaches the engine through a cable from now on.
    pub(crate) async fn through_cable(&mut self) -> Cable {
        self.config.socket = self.config.state_dir.join("engine.sock");
        let cable = Cable::lay(&self.config.socket);
        self.client = client(self.config.clone()).await;
        cable
    }

    /// Uploads a source and starts its build.
    pub(crate) async fn start_build(&mut self, files: &[(&str, Vec<u8>)], timeout_seconds: u32) -> BuildId {
        let request = self.upload(files, timeout_seconds).await;
        self.client.start_build(request.clone()).await.expect("the build starts");
        request.build_id.parse().expect("an id")
    }

    /// Uploads a source; gives the request that builds it.
    pub(crate) async fn upload(
        &mut self,
        files: &[(&str, Vec<u8>)],
        timeout_seconds: u32,
    ) -> proto::StartBuildRequest {
        let (source, build) = (Uuid::now_v7(), BuildId::new());
        let header = proto::SourceHeader { scope: self.scope(1), source_id: source.to_string() };
        let mut messages = vec![proto::PutSourceRequest { part: Some(Part::Header(header)) }];
        messages.extend(
            tar_of(files)
                .chunks(64 << 10)
                .map(|chunk| proto::PutSourceRequest { part: Some(Part::Chunk(chunk.to_vec())) }),
        );
        messages.push(proto::PutSourceRequest { part: Some(Part::End(proto::SourceEnd {})) });
        self.client.put_source(futures_util::stream::iter(messages)).await.expect("the source is taken");
        proto::StartBuildRequest {
            scope: self.scope(1),
            build_id: build.to_string(),
            source_id: source.to_string(),
            source: None,
            timeout_seconds,
            no_cache: true,
            ..Default::default()
        }
    }

    /// A build's lines and result.
    pub(crate) async fn follow(&mut self, build: BuildId) -> (Vec<proto::LogLine>, BuildResult) {
        let request = proto::FollowBuildRequest {
            project_id: self.project.to_string(),
            build_id: build.to_string(),
            from_seq: 0,
        };
        let mut events = self.client.follow_build(request).await.expect("followed").into_inner();
        let mut lines = Vec::new();
        while let Some(event) = events.next().await {
            match event.expect("no error").event.expect("an event") {
                Event::Line(line) => lines.push(line),
                Event::Result(result) => return (lines, result),
            }
        }
        panic!("the stream ended without a result");
    }

    /// Waits until a build that runs has printed a line with this text.
    pub(crate) async fn says(&mut self, build: BuildId, text: &str) {
        let request = proto::FollowBuildRequest {
            project_id: self.project.to_string(),
            build_id: build.to_string(),
            from_seq: 0,
        };
        let mut events = self.client.follow_build(request).await.expect("followed").into_inner();
        while let Some(event) = events.message().await.expect("no error") {
            match event.event.expect("an event") {
                Event::Line(line) if line.text.contains(text) => return,
                Event::Line(_) => {}
                Event::Result(result) => panic!("it ended before it said {text}: {result:?}"),
            }
        }
        panic!("the stream ended before {text}");
    }

    /// Builds a Dockerfile beside the app.
    pub(crate) async fn build(&mut self, dockerfile: &str) -> (Vec<String>, BuildResult) {
        let files = [("Dockerfile", dockerfile.into()), ("app", app())];
        let build = self.start_build(&files, 0).await;
        let (lines, result) = self.follow(build).await;
        (lines.into_iter().map(|line| line.text).collect(), result)
    }

    /// An image of the app that behaves so, with more lines in its Dockerfile.
    pub(crate) async fn image(&mut self, behaviour: &[&str], more: &str) -> proto::Image {
        let words: Vec<String> = ["/app"].iter().chain(behaviour).map(|word| format!("\"{word}\"")).collect();
        let dockerfile = format!("FROM scratch\nCOPY app /app\n{more}\nCMD [{}]\n", words.join(", "));
        let (lines, result) = self.build(&dockerfile).await;
        assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{} {lines:#?}", result.message);
        result.image.expect("an image")
    }

    /// The request that starts a release of this image.
    pub(crate) fn release(&self, image: &proto::Image, seq: i64) -> proto::StartReleaseRequest {
        proto::StartReleaseRequest {
            scope: self.scope(seq),
            release_id: ReleaseId::new().to_string(),
            release_seq: seq,
            image_reference: image.reference.clone(),
            process: "web".to_owned(),
            hosts: vec![format!("{}.user-app.localhost", self.project)],
            ..proto::StartReleaseRequest::default()
        }
    }

    /// Starts a release and waits for it.
    pub(crate) async fn start(
        &mut self,
        request: &proto::StartReleaseRequest,
        timeout_seconds: u32,
    ) -> proto::AwaitReleaseResponse {
        self.client.start_release(request.clone()).await.expect("starts");
        let wait = proto::AwaitReleaseRequest {
            project_id: self.project.to_string(),
            release_id: request.release_id.clone(),
            timeout_seconds,
        };
        self.client.await_release(wait).await.expect("awaited").into_inner()
    }

    /// Opens a release's gate.
    pub(crate) async fn open_gate(&mut self, request: &proto::StartReleaseRequest) {
        let opened = self.try_gate(request).await;
        assert_eq!(opened.reason, "", "{:#?}", opened.last_lines);
    }

    /// Opens a release's gate, and tells how that went.
    pub(crate) async fn try_gate(&mut self, request: &proto::StartReleaseRequest) -> proto::OpenGateResponse {
        let open =
            proto::OpenGateRequest { scope: request.scope.clone(), release_id: request.release_id.clone() };
        self.client.open_gate(open).await.expect("opens").into_inner()
    }

    /// The project's containers.
    pub(crate) async fn status(&mut self) -> Vec<proto::Container> {
        let request = proto::StatusRequest { project_id: self.project.to_string() };
        self.client.status(request).await.expect("a status").into_inner().containers
    }

    /// Where a container is reached from the host.
    pub(crate) async fn address(&self, container: &str) -> String {
        let found = self.docker.inspect_container(container, None).await.expect("there");
        let networks = found.network_settings.and_then(|settings| settings.networks).expect("networks");
        let address = networks.into_values().next().and_then(|network| network.ip_address);
        address.expect("an address").to_string()
    }
}

/// Polls until the condition holds; panics with `what` when it does not within 30 s.
pub(crate) async fn eventually<F, T>(what: &str, mut condition: F)
where
    F: FnMut() -> T,
    T: Future<Output = bool>,
{
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One HTTP GET; the body, when there is an answer.
pub(crate) async fn get(address: &str, path: &str) -> Option<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

/// The static app, compiled once.
pub(crate) fn app() -> Vec<u8> {
    static APP: OnceLock<Vec<u8>> = OnceLock::new();
    APP.get_or_init(|| {
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/app/app.rs");
        let dir = tempfile::tempdir().expect("a directory");
        let out = dir.path().join("app");
        #[expect(clippy::disallowed_methods, reason = "the tests compile their app, with an argv")]
        let status = Command::new("rustc")
            .args(["--edition", "2024", "-C", "target-feature=+crt-static", "-C", "panic=abort"])
            .args(["-C", "opt-level=1", "-C", "strip=symbols"])
            .arg(source)
            .arg("-o")
            .arg(&out)
            .status()
            .expect("rustc can be started");
        assert!(status.success(), "the test app does not compile");
        std::fs::read(out).expect("the app")
    })
    .clone()
}

fn tar_of(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        archive.append_data(&mut header, name, content.as_slice()).expect("appends");
    }
    archive.into_inner().expect("finishes")
}

/// By label, and images by the installation's repositories: nothing of anybody else.
async fn remove_everything(docker: &Docker, instance: &str, roots: &[String]) {
    let filters: HashMap<String, Vec<String>> =
        [("label".to_owned(), vec![instance_selector(instance)])].into();
    let list = ListContainersOptions {
        all: true,
        filters: Some(filters.clone()),
        ..ListContainersOptions::default()
    };
    for container in docker.list_containers(Some(list)).await.expect("lists") {
        let force = RemoveContainerOptions { force: true, v: true, link: false };
        let _ = docker.remove_container(&container.id.expect("an id"), Some(force)).await;
    }
    let list = ListVolumesOptions { filters: Some(filters.clone()) };
    for volume in docker.list_volumes(Some(list)).await.expect("lists").volumes.unwrap_or_default() {
        docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await.expect("removed");
    }
    let list = ListNetworksOptions { filters: Some(filters) };
    for network in docker.list_networks(Some(list)).await.expect("lists") {
        docker.remove_network(&network.name.expect("a name")).await.expect("removed");
    }
    for root in roots {
        remove_images(docker, &format!("{root}/")).await;
    }
}

/// Removes every reference that begins so; an image may be another test's as well.
pub(crate) async fn remove_images(docker: &Docker, root: &str) {
    let list = ListImagesOptions {
        filters: Some([("reference".to_owned(), vec![format!("{root}*")])].into()),
        ..ListImagesOptions::default()
    };
    for image in docker.list_images(Some(list)).await.expect("lists") {
        let references = image.repo_tags.into_iter().chain(image.repo_digests);
        for reference in references.filter(|reference| reference.starts_with(root)) {
            let force = RemoveImageOptions { force: true, ..RemoveImageOptions::default() };
            let _ = docker.remove_image(&reference, Some(force), None).await;
        }
    }
}

/// What an installation's image references begin with.
pub(crate) fn repository(instance: &str) -> String {
    format!("{}/", image_prefix(instance))
}
