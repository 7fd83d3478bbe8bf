//! Following an engine that comes late, dies, and comes back having forgotten.

use std::{net::SocketAddr, path::PathBuf};

use http::StatusCode;
use paastech_edge::{ApiRoute, Edge, EdgeConfig};
use paastech_labels::{LabelKey, RouteLabels};
use paastech_runtime::Shutdown;
use paastech_types::{ProjectId, ReleaseId};

use crate::{
    app::App,
    fake_engine::{Container, World},
    rig::{HOST, eventually, get},
};

const API: &str = "api.localhost";

struct Story {
    world: World,
    socket: PathBuf,
    edge: SocketAddr,
    shutdown: Shutdown,
    _app: App,
    _dir: tempfile::TempDir,
}

impl Story {
    async fn begin() -> Self {
        let (app, key) = (App::start("app").await, LabelKey::new([1; 32]));
        let labels = RouteLabels {
            instance: "i1".to_owned(),
            project: ProjectId::new(),
            release: ReleaseId::new(),
            seq: 1,
            process: "web".to_owned(),
            ordinal: 1,
            hosts: vec![HOST.parse().expect("a host")],
            port: app.addr.port(),
            network: "pt-0".to_owned(),
            spec_hash: "0".to_owned(),
        };
        let labels = serde_json::to_value(labels.to_labels(&key)).expect("JSON");
        let world = World::new(Container {
            labels,
            health: "healthy",
            started_at: "2026-01-01T00:00:00Z",
            checks: &[],
            broken: false,
        });
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("docker.sock");
        let config = EdgeConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            socket: socket.clone(),
            instance: "i1".to_owned(),
            api: Some(ApiRoute { host: API.to_owned(), address: app.addr }),
            ..EdgeConfig::default()
        };
        let edge = Edge::build(config, key).await.expect("binds");
        let (addr, shutdown) = (edge.addr(), Shutdown::new());
        shutdown.spawn("edge", edge.run(shutdown.clone()));
        Self { world, socket, edge: addr, shutdown, _app: app, _dir: dir }
    }

    async fn status(&self) -> StatusCode {
        get(self.edge, HOST, "/").await.0
    }

    /// Waits until the engine has been looked at from now on, and to the end.
    async fn looks_again(&self) {
        let before = self.world.listed();
        eventually("the engine is looked at", async || {
            self.world.change(|_| {});
            self.world.listed() >= before + 4
        })
        .await;
    }

    async fn becomes(&self, status: StatusCode) {
        eventually(status.as_str(), async || self.status().await == status).await;
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        self.shutdown.start_drain();
    }
}

#[tokio::test]
async fn clients_wait_for_the_first_look_at_the_engine() {
    let story = Story::begin().await;
    let asked = tokio::spawn(get(story.edge, HOST, "/"));
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let _engine = story.world.start(&story.socket);
    assert_eq!(asked.await.expect("ends").0, StatusCode::OK);
}

#[tokio::test]
async fn before_the_first_look_nothing_is_said_to_be_unknown() {
    let story = Story::begin().await;
    assert_eq!(story.status().await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn the_api_is_routed_before_and_after_the_first_look() {
    let story = Story::begin().await;
    assert_eq!(get(story.edge, API, "/").await.0, StatusCode::OK);
    let _engine = story.world.start(&story.socket);
    story.becomes(StatusCode::OK).await;
    assert_eq!(get(story.edge, API, "/").await.0, StatusCode::OK);
}

#[tokio::test]
async fn routes_outlive_the_engine_and_its_memory_of_health() {
    let story = Story::begin().await;
    let engine = story.world.start(&story.socket);
    story.becomes(StatusCode::OK).await;
    drop(engine);
    assert_eq!(story.status().await, StatusCode::OK, "the engine is dead");

    story.world.change(|container| container.health = "starting");
    let before = story.world.listed();
    let _engine = story.world.start(&story.socket);
    eventually("the engine is followed again", async || story.world.listed() >= before + 4).await;
    assert_eq!(story.status().await, StatusCode::OK, "the engine has forgotten");

    story.world.change(|container| container.started_at = "2026-01-02T00:00:00Z");
    story.becomes(StatusCode::SERVICE_UNAVAILABLE).await;
    story.world.change(|container| container.health = "healthy");
    story.becomes(StatusCode::OK).await;
}

#[tokio::test]
async fn an_edge_that_starts_after_the_engine_has_forgotten_finds_what_was_healthy() {
    let story = Story::begin().await;
    story.world.change(|container| {
        container.health = "starting";
        container.checks = &[("2026-01-01T00:00:01.5Z", 0)];
    });
    let _engine = story.world.start(&story.socket);
    story.becomes(StatusCode::OK).await;
    let others: [&[(&str, i64)]; 2] =
        [&[("2026-01-01T00:00:01Z", 0), ("2026-01-01T00:00:02Z", 1)], &[("2025-12-31T23:59:59Z", 0)]];
    for checks in others {
        let story = Story::begin().await;
        story.world.change(|container| (container.health, container.checks) = ("starting", checks));
        let _engine = story.world.start(&story.socket);
        eventually("the engine is followed", async || story.world.listed() >= 2).await;
        assert_eq!(story.status().await, StatusCode::SERVICE_UNAVAILABLE, "{checks:?}");
    }
}

#[tokio::test]
async fn a_container_that_cannot_be_seen_for_a_while_stays_as_it_was() {
    let story = Story::begin().await;
    let _engine = story.world.start(&story.socket);
    story.becomes(StatusCode::OK).await;
    // Its start is remembered by a look of its own.
    story.looks_again().await;
    story.world.change(|container| (container.health, container.broken) = ("starting", true));
    for broken in [true, false] {
        story.world.change(|container| container.broken = broken);
        story.looks_again().await;
        assert_eq!(story.status().await, StatusCode::OK, "broken: {broken}");
    }
}

#[tokio::test]
async fn a_container_found_unhealthy_takes_no_traffic() {
    let story = Story::begin().await;
    let _engine = story.world.start(&story.socket);
    story.becomes(StatusCode::OK).await;
    story.world.change(|container| container.health = "unhealthy");
    story.becomes(StatusCode::SERVICE_UNAVAILABLE).await;
    story.world.change(|container| container.health = "healthy");
    story.becomes(StatusCode::OK).await;
}

#[tokio::test]
async fn an_edge_of_nobody_does_not_start() {
    let config = EdgeConfig { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..EdgeConfig::default() };
    let error = Edge::build(config, LabelKey::new([1; 32])).await.err().expect("refused");
    assert!(error.to_string().contains("instance"), "{error}");
}
