//! `ConfirmRelease`: asks the proxy whether it routes to the release, then sends one request through it.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use paastech_labels::RouteLabels;
use serde::Deserialize;
use tokio::net::TcpStream;

use crate::{config::ProxyConfig, error::Error};

const PAUSE: Duration = Duration::from_millis(50);
const ONE_REQUEST: Duration = Duration::from_secs(30);
const ANSWER_LIMIT: usize = 1 << 20;
/// Set by the edge on answers of its own making, so that an app's 404 is told from "no such host".
const EDGE_ANSWER: &str = "x-paastech-edge";

/// What the proxy says it routes.
#[derive(Debug, Deserialize)]
struct Routes {
    routes: Vec<Route>,
}

#[derive(Debug, Deserialize)]
struct Route {
    host: String,
    release: String,
    servers: u32,
}

/// The HTTP status of one request that the proxy passed to the release; 0 when no proxy is configured, or when the
/// release takes no traffic.
pub(crate) async fn confirm(
    proxy: &ProxyConfig,
    labels: &RouteLabels,
    servers: u32,
    timeout: Duration,
) -> Result<u16, Error> {
    let Some(host) = labels.hosts.first() else { return Ok(0) };
    let attempt = async {
        if let Some(internal) = proxy.internal {
            while !routes(internal, host.as_str(), labels, servers).await {
                tokio::time::sleep(PAUSE).await;
            }
        }
        let Some(public) = proxy.public else { return 0 };
        loop {
            if let Some(status) = through(public, host.as_str()).await {
                return status;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(timeout, attempt)
        .await
        .map_err(|_| Error::NotYet(format!("the proxy does not route {host} to the release yet")))
}

/// Whether the proxy sends this host's traffic to this release, to all of its servers.
async fn routes(internal: SocketAddr, host: &str, labels: &RouteLabels, servers: u32) -> bool {
    let path = format!("/routes?host={host}");
    let Ok(Some((status, body, _))) =
        tokio::time::timeout(ONE_REQUEST, get(internal, &path, &internal.to_string())).await
    else {
        return false;
    };
    let release = labels.release.to_string();
    status == StatusCode::OK
        && serde_json::from_slice::<Routes>(&body).is_ok_and(|answer| {
            answer
                .routes
                .iter()
                .any(|route| route.host == host && route.release == release && route.servers >= servers)
        })
}

/// The status of one request, unless the proxy itself answered.
async fn through(public: SocketAddr, host: &str) -> Option<u16> {
    let (status, _, by_edge) = tokio::time::timeout(ONE_REQUEST, get(public, "/", host)).await.ok()??;
    let proxy_failed = matches!(status.as_u16(), 502..=504) || by_edge;
    (!proxy_failed).then_some(status.as_u16())
}

/// One GET: the status, the body, and whether the edge itself answered.
async fn get(address: SocketAddr, path: &str, host: &str) -> Option<(StatusCode, Bytes, bool)> {
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
        let status = answer.status();
        let by_edge = answer.headers().contains_key(EDGE_ANSWER);
        // An app's answer may be endless: only its head counts, unless it is small.
        let body = Limited::new(answer.into_body(), ANSWER_LIMIT);
        let body = tokio::time::timeout(Duration::from_secs(2), body.collect()).await;
        let body = body.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes);
        Some((status, body.unwrap_or_default(), by_edge))
    };
    tokio::select! {
        biased;
        answer = exchange => answer,
        () = async { let _ = connection.await; std::future::pending().await } => None,
    }
}
