//! `ConfirmRelease`, against a proxy that the test plays.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use paastech_labels::{Route, Routes};
use paastech_proto::pomegranate as proto;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tonic::Code;

use crate::world::{World, client, in_world};

/// What the edge puts on answers of its own.
const OURS: &str = "x-paastech-edge: 1\r\n";
const NOTHING: &str = "{\"routes\":[],\"draining\":[]}";

#[test]
fn it_waits_for_the_route_and_for_an_answer_from_the_app() {
    in_world(|mut world| async move {
        let (request, routes) = released(&mut world).await;
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let internal = proxy(move |head| {
            assert!(head.starts_with("GET /routes?host="), "{head}");
            let ready = counter.fetch_add(1, Ordering::SeqCst) >= 2;
            answer("200 OK", "", if ready { &routes } else { NOTHING })
        })
        .await;
        let host = request.hosts[0].clone();
        let tries = Arc::new(AtomicUsize::new(0));
        let public = proxy(move |head| {
            assert!(head.contains(&host), "{head}");
            match tries.fetch_add(1, Ordering::SeqCst) {
                0 => answer("502 Bad Gateway", OURS, "the app cannot be reached"),
                1 => answer("404 Not Found", OURS, "no such host"),
                _ => answer("404 Not Found", "", "the app's own"),
            }
        })
        .await;
        let status = confirm(&world, internal, public, &request, 20).await.expect("confirmed");
        assert_eq!(status, 404);
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn an_app_that_answers_with_an_error_of_its_own_is_routed() {
    in_world(|mut world| async move {
        let (request, routes) = released(&mut world).await;
        let internal = proxy(move |_| answer("200 OK", "", &routes)).await;
        for status in ["500 Oops", "502 Bad Gateway", "503 Down for Maintenance", "504 Gateway Timeout"] {
            let public = proxy(move |_| answer(status, "", "the app's own")).await;
            let confirmed = confirm(&world, internal, public, &request, 5).await.expect("confirmed");
            assert!(status.starts_with(&confirmed.to_string()), "{confirmed} for {status}");
        }
    });
}

#[test]
fn a_proxy_that_cannot_be_asked_is_taken_for_failing_and_follows_health() {
    in_world(|mut world| async move {
        let (request, _) = released(&mut world).await;
        let tries = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&tries);
        let public = proxy(move |_| match counter.fetch_add(1, Ordering::SeqCst) {
            0 => answer("502 Bad Gateway", "", "the proxy's, or the app's"),
            _ => answer("200 OK", "", "the app's"),
        })
        .await;
        let error = confirm(&world, None, public, &request, 1).await.expect_err("the gate is shut");
        assert_eq!((error.code(), tries.load(Ordering::SeqCst)), (Code::Unavailable, 0));
        world.open_gate(&request).await;
        assert_eq!(confirm(&world, None, public, &request, 20).await.expect("confirmed"), 200);
        assert_eq!(tries.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn without_a_route_it_is_not_yet() {
    in_world(|mut world| async move {
        let (request, _) = released(&mut world).await;
        let internal = proxy(|_| answer("200 OK", "", NOTHING)).await;
        let error = confirm(&world, internal, internal, &request, 1).await.expect_err("not routed");
        assert_eq!(error.code(), Code::Unavailable);
    });
}

/// A running release, and what a proxy says that routes to it.
async fn released(world: &mut World) -> (proto::StartReleaseRequest, String) {
    let image = world.image(&["serve"], "").await;
    let request = world.release(&image, 1);
    assert!(world.start(&request, 20).await.ready);
    let route = Route {
        host: request.hosts[0].clone(),
        project: world.project,
        release: request.release_id.parse().expect("an id"),
        seq: 1,
        servers: 1,
        in_flight: 0,
    };
    let routes = Routes { routes: vec![route], draining: Vec::new() };
    let routes = serde_json::to_string(&routes).expect("JSON");
    (request, routes)
}

async fn confirm(
    world: &World,
    internal: impl Into<Option<SocketAddr>>,
    public: SocketAddr,
    release: &proto::StartReleaseRequest,
    timeout_seconds: u32,
) -> Result<u32, tonic::Status> {
    let mut config = world.config.clone();
    config.proxy.internal = internal.into();
    config.proxy.public = Some(public);
    let request = proto::ConfirmReleaseRequest {
        project_id: world.project.to_string(),
        release_id: release.release_id.clone(),
        timeout_seconds,
    };
    Ok(client(config).await.confirm_release(request).await?.into_inner().status)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A server that answers each request's head with whatever the test says.
async fn proxy(mut reply: impl FnMut(&str) -> String + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 2048];
            let count = stream.read(&mut head).await.unwrap_or(0);
            let answer = reply(&String::from_utf8_lossy(&head[..count]));
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}
