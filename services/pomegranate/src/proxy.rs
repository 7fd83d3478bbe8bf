//! The proxy, as its two addresses tell of it: what it routes, and one request through it.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use paastech_labels::{EDGE_ANSWER, Route, RouteLabels, Routes, router_name};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::net::TcpStream;

use crate::config::{ProxyConfig, ProxyKind};

const ONE_REQUEST: Duration = Duration::from_secs(30);
const ANSWER_LIMIT: usize = 1 << 20;

/// The head of an answer that came through the proxy.
pub(crate) struct Answered {
    /// Its HTTP status.
    pub(crate) status: StatusCode,
    /// Whether the proxy made it, and not the app.
    pub(crate) by_proxy: bool,
}

/// What the proxy does with a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    /// Nothing any more.
    None,
    /// It cannot be asked.
    Unknown,
    /// It sends nothing new, and waits for what it sent, or does not tell whether any of that is left.
    Ending,
    /// It sends new requests, to this many servers.
    Serving(usize),
}

/// What the proxy does with the release of these labels, on one of its hosts.
pub(crate) async fn used(config: &ProxyConfig, host: &str, labels: &RouteLabels) -> Use {
    let Some(internal) = config.internal else { return Use::Unknown };
    let found = match config.kind {
        ProxyKind::Edge => used_by_edge(internal, host, labels).await,
        ProxyKind::Traefik => used_by_traefik(internal, host, labels).await,
    };
    found.unwrap_or(Use::Unknown)
}

async fn used_by_edge(internal: SocketAddr, host: &str, labels: &RouteLabels) -> Option<Use> {
    let routes: Routes = ask(internal, &format!("/routes?host={host}")).await?;
    let serving = routes.routes.iter().find(|route| route.host == host && route.release == labels.release);
    if let Some(route) = serving {
        return Some(Use::Serving(route.servers));
    }
    let ending = |route: &Route| route.release == labels.release && route.in_flight > 0;
    Some(if routes.draining.iter().any(ending) { Use::Ending } else { Use::None })
}

/// A router, as Traefik's API tells of it.
#[derive(Debug, Deserialize)]
struct Router {
    name: String,
    rule: String,
    #[serde(default)]
    priority: i64,
    status: String,
}

/// A service, as Traefik's API tells of it.
#[derive(Debug, Deserialize)]
struct Service {
    #[serde(rename = "loadBalancer")]
    load_balancer: Option<LoadBalancer>,
}

#[derive(Debug, Deserialize)]
struct LoadBalancer {
    #[serde(default)]
    servers: Vec<serde_json::Value>,
}

async fn used_by_traefik(internal: SocketAddr, host: &str, labels: &RouteLabels) -> Option<Use> {
    let routers: Vec<Router> =
        ask(internal, &format!("/api/http/routers?per_page=1000&search={host}")).await?;
    let ours = format!("{}@docker", router_name(labels.project, labels.seq));
    Some(match place(&routers, &ours, host) {
        Place::Highest => {
            let service: Service = ask(internal, &format!("/api/http/services/{ours}")).await?;
            Use::Serving(service.load_balancer.map_or(0, |balancer| balancer.servers.len()))
        }
        Place::Lower => Use::Ending,
        Place::Absent => Use::None,
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    Absent,
    Lower,
    Highest,
}

/// Where a router stands among those of a host: the highest priority takes all of its traffic. For entry points with
/// middlewares of their own Traefik has copies of a router, as high as it is.
fn place(routers: &[Router], name: &str, host: &str) -> Place {
    let rule = format!("Host(`{host}`)");
    let of_host =
        || routers.iter().filter(|router| router.status == "enabled" && router.rule.contains(&rule));
    let Some(ours) = of_host().find(|router| router.name == name) else { return Place::Absent };
    if of_host().any(|router| router.priority > ours.priority) { Place::Lower } else { Place::Highest }
}

async fn ask<T: DeserializeOwned>(internal: SocketAddr, path: &str) -> Option<T> {
    let (answered, body) = one(internal, path, &internal.to_string()).await?;
    (answered.status == StatusCode::OK).then(|| serde_json::from_slice(&body).ok()).flatten()
}

/// One request for `/` on this host, through the proxy.
pub(crate) async fn through(public: SocketAddr, host: &str) -> Option<Answered> {
    Some(one(public, "/", host).await?.0)
}

async fn one(address: SocketAddr, path: &str, host: &str) -> Option<(Answered, Bytes)> {
    tokio::time::timeout(ONE_REQUEST, get(address, path, host)).await.ok()?
}

async fn get(address: SocketAddr, path: &str, host: &str) -> Option<(Answered, Bytes)> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, "paastech-confirm")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .ok()?;
    let exchange = async {
        let answer = sender.send_request(request).await.ok()?;
        let answered =
            Answered { status: answer.status(), by_proxy: answer.headers().contains_key(EDGE_ANSWER) };
        // An app's answer may be endless: only its head counts, unless it is small.
        let body = Limited::new(answer.into_body(), ANSWER_LIMIT);
        let body = tokio::time::timeout(Duration::from_secs(2), body.collect()).await;
        let body = body.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes);
        Some((answered, body.unwrap_or_default()))
    };
    tokio::select! {
        biased;
        answer = exchange => answer,
        () = async { let _ = connection.await; std::future::pending().await } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_enabled_router_of_a_host_takes_its_traffic() {
        let routers: Vec<Router> = serde_json::from_str(
            r#"[
                {"name": "p-r1@docker", "rule": "Host(`p.x`)", "priority": 1001, "status": "enabled"},
                {"name": "p-r2@docker", "rule": "Host(`p.x`) || Host(`y`)", "priority": 1002, "status": "enabled"},
                {"name": "web-p-r2@docker", "rule": "Host(`p.x`) || Host(`y`)", "priority": 1002, "status": "enabled"},
                {"name": "p-r3@docker", "rule": "Host(`p.x`)", "priority": 1003, "status": "disabled"},
                {"name": "q-r9@docker", "rule": "Host(`up.x`)", "priority": 1009, "status": "enabled"},
                {"name": "others@file", "rule": "PathPrefix(`/`)", "priority": 1, "status": "enabled"}
            ]"#,
        )
        .expect("Traefik's JSON");
        let of = |name: &str| place(&routers, name, "p.x");
        assert_eq!(of("p-r1@docker"), Place::Lower);
        assert_eq!(of("p-r2@docker"), Place::Highest);
        assert_eq!(of("p-r3@docker"), Place::Absent);
        assert_eq!(of("q-r9@docker"), Place::Absent);
    }
}
