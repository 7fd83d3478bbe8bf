//! `ConfirmRelease`, against a proxy that the test plays.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use paastech_labels::{Route, Routes, router_name};
use paastech_proto::pomegranate as proto;
use pomegranate::{Config, ProxyConfig, ProxyKind};
use serde_json::json;
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
        let status = confirm(&world, behind(ProxyKind::Edge, internal, public), &request, 20)
            .await
            .expect("confirmed");
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
            let confirmed = confirm(&world, behind(ProxyKind::Edge, internal, public), &request, 5)
                .await
                .expect("confirmed");
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
        let error = confirm(&world, behind(ProxyKind::Edge, None, public), &request, 1)
            .await
            .expect_err("the gate is shut");
        assert_eq!((error.code(), tries.load(Ordering::SeqCst)), (Code::Unavailable, 0));
        world.open_gate(&request).await;
        assert_eq!(
            confirm(&world, behind(ProxyKind::Edge, None, public), &request, 20).await.expect("confirmed"),
            200
        );
        assert_eq!(tries.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn without_a_route_it_is_not_yet() {
    in_world(|mut world| async move {
        let (request, _) = released(&mut world).await;
        let internal = proxy(|_| answer("200 OK", "", NOTHING)).await;
        let error = confirm(&world, behind(ProxyKind::Edge, internal, internal), &request, 1)
            .await
            .expect_err("not routed");
        assert_eq!(error.code(), Code::Unavailable);
    });
}

#[test]
fn traefiks_router_must_be_the_hosts_highest_and_have_all_servers() {
    in_world(|mut world| async move {
        let image = world.image(&["serve"], "").await;
        let request = proto::StartReleaseRequest { replicas: 2, ..world.release(&image, 1) };
        assert!(world.start(&request, 20).await.ready);
        let (host, name) = (request.hosts[0].clone(), format!("{}@docker", router_name(world.project, 1)));
        let routers = format!("GET /api/http/routers?per_page=1000&search={host} HTTP/1.1\r\n");
        let service = format!("GET /api/http/services/{name} HTTP/1.1\r\n");
        let looks = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&looks);
        let internal = proxy(move |head| {
            let router = |name: &str, priority: i64| {
                let rule = format!("Host(`{host}`)");
                json!({ "name": name, "rule": rule, "priority": priority, "status": "enabled" })
            };
            let (ours, before) = (router(&name, 1001), router("of-another-release@docker", 1000));
            let above = router("of-another-release@docker", 1002);
            let look = counter.load(Ordering::SeqCst);
            if head.starts_with(&service) {
                let server = |n| json!({ "url": format!("http://10.0.0.{n}:80") });
                let servers: Vec<_> = (2..look).map(server).collect();
                return answer("200 OK", "", &json!({ "loadBalancer": { "servers": servers } }).to_string());
            }
            assert!(head.starts_with(&routers), "{head}");
            counter.fetch_add(1, Ordering::SeqCst);
            let found = match look {
                0 => json!([before]),
                1 => json!([above, ours]),
                _ => json!([before, ours]),
            };
            answer("200 OK", "", &found.to_string())
        })
        .await;
        let tries = Arc::new(AtomicUsize::new(0));
        let public = proxy(move |_| match tries.fetch_add(1, Ordering::SeqCst) {
            0 => answer("502 Bad Gateway", "", "Traefik's, or the app's"),
            _ => answer("200 OK", "", "the app's"),
        })
        .await;
        let traefik = behind(ProxyKind::Traefik, internal, public);
        assert_eq!(confirm(&world, traefik, &request, 20).await.expect("confirmed"), 200);
        assert_eq!(looks.load(Ordering::SeqCst), 4, "absent, lower, one server of two, both");
    });
}

#[test]
fn a_traefik_that_cannot_be_asked_confirms_nothing_and_does_not_keep_a_release() {
    in_world(|mut world| async move {
        let (request, _) = released(&mut world).await;
        let unreachable =
            TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
        let refuses = proxy(|_| answer("500 Oops", "", "[]")).await;
        for internal in [unreachable, refuses] {
            let public = proxy(|_| answer("200 OK", "", "somebody's")).await;
            world.config.proxy = behind(ProxyKind::Traefik, internal, public);
            let error = confirm(&world, world.config.proxy.clone(), &request, 1).await.expect_err("unknown");
            assert_eq!(error.code(), Code::Unavailable);
        }
        let remove = proto::RemoveReleaseRequest {
            scope: world.scope(1),
            release_id: request.release_id.clone(),
            grace_seconds: 1,
            drain_seconds: 1,
        };
        client(world.config.clone()).await.remove_release(remove).await.expect("removed");
        assert!(world.status().await.is_empty());
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

/// A proxy of this kind with these addresses.
fn behind(kind: ProxyKind, internal: impl Into<Option<SocketAddr>>, public: SocketAddr) -> ProxyConfig {
    ProxyConfig { kind, internal: internal.into(), public: Some(public) }
}

async fn confirm(
    world: &World,
    proxy: ProxyConfig,
    release: &proto::StartReleaseRequest,
    timeout_seconds: u32,
) -> Result<u32, tonic::Status> {
    let config = Config { proxy, ..world.config.clone() };
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
