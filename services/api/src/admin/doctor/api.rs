//! Whether the api serves.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, header::HOST};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use paastech_runtime::serve::on_this_host;
use tokio::net::TcpStream;

use super::{Facts, Finding};

const CHECK: &str = "api";
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn check(facts: &Facts<'_>) -> Finding {
    let at = on_this_host(facts.installation.config.listen);
    match tokio::time::timeout(PATIENCE, ready(at)).await {
        Ok(Ok((200, _))) => Finding::ok(CHECK, format!("ready at {at}")),
        Ok(Ok((_, text))) => {
            Finding::error(CHECK, format!("not ready: {text}"), "see what follows, and its log")
        }
        Ok(Err(error)) => Finding::error(CHECK, format!("does not answer at {at}: {error}"), "start it"),
        Err(_) => Finding::error(CHECK, format!("does not answer at {at} in time"), "see its log"),
    }
}

/// The status of `/readyz`, and what it says.
async fn ready(at: SocketAddr) -> Result<(u16, String), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(at).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get("/readyz").header(HOST, at.to_string()).body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), 64 << 10).collect().await?.to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    Ok((status, body["detail"].as_str().unwrap_or("it says nothing more").to_owned()))
}
