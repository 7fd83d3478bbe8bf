//! A client of a gate: one request at a time over its socket.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use paastech_engine_gate::{Build, Gate};
use tempfile::TempDir;
use tokio::net::UnixStream;

/// The image that a test's build makes.
pub(crate) const TARGET: &str = "pt-gate-test/app:0123456789abcdef";

/// An open gate in a directory of its own.
pub(crate) struct Rig {
    pub(crate) dir: TempDir,
    pub(crate) gate: Gate,
}

impl Rig {
    pub(crate) fn open(engine: &Path, readable: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("works");
        let build = Build {
            target: TARGET.to_owned(),
            readable: readable.iter().map(|&text| text.to_owned()).collect(),
            image_bytes: 64 << 20,
        };
        let gate = Gate::open(&dir.path().join("s"), engine, &build).expect("works");
        Self { dir, gate }
    }

    pub(crate) async fn call(&self, method: &str, target: &str, body: Vec<u8>) -> (StatusCode, Bytes) {
        call(self.dir.path().join("s"), method, target, body).await
    }
}

/// One request over a Unix socket.
pub(crate) async fn call(socket: PathBuf, method: &str, target: &str, body: Vec<u8>) -> (StatusCode, Bytes) {
    let stream = UnixStream::connect(socket).await.expect("works");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("works");
    tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).expect("works"))
        .uri(target)
        .header("host", "engine")
        .header("content-type", if body.starts_with(b"{") { "application/json" } else { "application/x-tar" })
        .body(Full::new(Bytes::from(body)))
        .expect("works");
    let answer = sender.send_request(request).await.expect("works");
    (answer.status(), answer.into_body().collect().await.expect("works").to_bytes())
}
