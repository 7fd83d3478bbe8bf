//! The proxy, as its two addresses tell of it: what it routes, and one request through it.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use paastech_labels::{EDGE_ANSWER, Routes};
use tokio::net::TcpStream;

const ONE_REQUEST: Duration = Duration::from_secs(30);
const ANSWER_LIMIT: usize = 1 << 20;

/// The head of an answer that came through the proxy.
pub(crate) struct Answered {
    /// Its HTTP status.
    pub(crate) status: StatusCode,
    /// Whether the proxy made it, and not the app.
    pub(crate) by_proxy: bool,
}

/// What the proxy says of one host; `None` when it does not say.
pub(crate) async fn routes(internal: SocketAddr, host: &str) -> Option<Routes> {
    let path = format!("/routes?host={host}");
    let (answered, body) = one(internal, &path, &internal.to_string()).await?;
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
