//! `RemoveRelease` behind the real edge: what has begun may end.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use paastech_edge::{Edge, EdgeConfig};
use paastech_proto::pomegranate as proto;
use paastech_runtime::Shutdown;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};
use tonic::Code;

use crate::world::{World, client, eventually, get, in_world, key};

#[test]
fn a_slow_request_survives_a_redeploy() {
    in_world(|mut world| async move {
        let edge = Proxy::start(&mut world).await;
        let image = world.image(&["serve"], "").await;
        let first = edge.release(&mut world, &image, 1).await;
        let slow = edge.ask("/slow/6").await;
        edge.release(&mut world, &image, 2).await;
        let began = Instant::now();
        world.client.remove_release(removal(&world, &first, 20)).await.expect("removes");
        assert!(began.elapsed() < Duration::from_secs(20), "it does not wait out the limit");
        let answer = slow.await.expect("ends");
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("caps="), "{answer:?}");
        assert_eq!(world.status().await.len(), 1);
        edge.shutdown.stop(Duration::from_secs(1)).await;
    });
}

#[test]
fn a_request_that_does_not_end_is_cut_at_the_limit() {
    in_world(|mut world| async move {
        let edge = Proxy::start(&mut world).await;
        let image = world.image(&["serve"], "").await;
        let first = edge.release(&mut world, &image, 1).await;
        let slow = edge.ask("/slow/600").await;
        edge.release(&mut world, &image, 2).await;
        world.client.remove_release(removal(&world, &first, 1)).await.expect("removes");
        let answer = slow.await.expect("ends");
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer:?}");
        edge.shutdown.stop(Duration::from_secs(1)).await;
    });
}

#[test]
fn a_release_that_serves_is_not_drained_away() {
    in_world(|mut world| async move {
        let edge = Proxy::start(&mut world).await;
        let image = world.image(&["serve"], "").await;
        let first = edge.release(&mut world, &image, 1).await;
        let error = world.client.remove_release(removal(&world, &first, 1)).await.expect_err("it serves");
        assert_eq!(
            (error.code(), error.message()),
            (Code::Unavailable, "the proxy still routes to the release")
        );
        let answer = edge.ask("/").await.await.expect("ends");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer:?}");
        edge.shutdown.stop(Duration::from_secs(1)).await;
    });
}

/// A real edge in front of the world's containers.
struct Proxy {
    public: SocketAddr,
    internal: SocketAddr,
    host: String,
    shutdown: Shutdown,
}

impl Proxy {
    /// Starts it, and makes the world's Pomegranate ask it.
    async fn start(world: &mut World) -> Self {
        let config = EdgeConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            instance: world.config.instance.clone(),
            ..EdgeConfig::default()
        };
        let edge = Edge::build(config, key()).await.expect("binds");
        let (public, internal, shutdown) = (edge.addr(), edge.internal_addr(), Shutdown::new());
        shutdown.spawn("edge", edge.run(shutdown.clone()));
        world.config.proxy.internal = Some(internal);
        world.config.proxy.public = Some(public);
        world.client = client(world.config.clone()).await;
        let host = format!("{}.user-app.localhost", world.project);
        Self { public, internal, host, shutdown }
    }

    /// Brings a release into traffic.
    async fn release(&self, world: &mut World, image: &proto::Image, seq: i64) -> proto::StartReleaseRequest {
        let request = world.release(image, seq);
        assert!(world.start(&request, 20).await.ready);
        world.open_gate(&request).await;
        let confirm = proto::ConfirmReleaseRequest {
            project_id: world.project.to_string(),
            release_id: request.release_id.clone(),
            timeout_seconds: 20,
        };
        let confirmed = world.client.confirm_release(confirm).await.expect("confirmed").into_inner();
        assert_eq!(confirmed.status, 200);
        request
    }

    /// Sends a request that is in flight when this returns, or has been answered; the task gives the whole answer.
    async fn ask(&self, path: &str) -> JoinHandle<String> {
        let mut stream = TcpStream::connect(self.public).await.expect("connects");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.host);
        stream.write_all(request.as_bytes()).await.expect("sends");
        let asked = tokio::spawn(async move {
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer).await;
            answer
        });
        let internal = self.internal.to_string();
        eventually("the request is in flight", || async {
            asked.is_finished()
                || get(&internal, "/routes").await.is_some_and(|routes| routes.contains("\"in_flight\":1"))
        })
        .await;
        asked
    }
}

fn removal(
    world: &World,
    release: &proto::StartReleaseRequest,
    drain_seconds: u32,
) -> proto::RemoveReleaseRequest {
    proto::RemoveReleaseRequest {
        scope: world.scope(9),
        release_id: release.release_id.clone(),
        grace_seconds: 1,
        drain_seconds,
    }
}
