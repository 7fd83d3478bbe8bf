//! A small HTTP client over a Unix socket or a pinned TCP address, so that no name is ever resolved.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header::HOST};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, UnixStream};

use crate::interrupt;

/// How long a server may take until its answer begins.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request's body.
pub(crate) type Body = BoxBody<Bytes, std::io::Error>;

/// Where a server listens.
#[derive(Debug, Clone)]
pub(crate) enum Server {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP address.
    Tcp(SocketAddr),
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its body.
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().to_owned()
    }

    /// The body as JSON; anything but a success is an error that shows the server's text.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        if !self.status.is_success() {
            bail!("{}: {}", self.status, self.text());
        }
        serde_json::from_slice(&self.body).with_context(|| format!("not the JSON we expect: {}", self.text()))
    }
}

impl Server {
    /// One GET.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        self.call(request(Method::GET, path).body(empty())?).await
    }

    /// Sends a request and reads the whole answer. A signal does not end it: what cleans up calls too.
    pub(crate) async fn call(&self, request: Request<Body>) -> Result<Answer> {
        let head = format!("{} {}", request.method(), request.uri());
        let exchange = async {
            let response = self.send(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            anyhow::Ok(Answer { status, body })
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await;
        answer.with_context(|| format!("no answer to {head}"))?.with_context(|| head)
    }

    /// Sends a request and hands the lines of its answer to `told` as they come, however long that takes.
    pub(crate) async fn stream(&self, request: Request<Body>, mut told: impl FnMut(&str)) -> Result<()> {
        let head = format!("{} {}", request.method(), request.uri().path());
        let response = self.send(request).await.with_context(|| head.clone())?;
        let status = response.status();
        let (mut body, mut rest) = (response.into_body(), Vec::new());
        while let Some(frame) = body.frame().await {
            interrupt::check()?;
            rest.extend_from_slice(&frame?.into_data().unwrap_or_default());
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                told(String::from_utf8_lossy(&line).trim());
            }
        }
        let rest = String::from_utf8_lossy(&rest);
        told(rest.trim());
        ensure!(status.is_success(), "{head}: {status}: {rest}");
        Ok(())
    }

    async fn send(&self, request: Request<Body>) -> Result<http::Response<Incoming>> {
        match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                exchange(stream.with_context(|| format!("cannot connect to {}", path.display()))?, request)
                    .await
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await;
                exchange(stream.with_context(|| format!("cannot connect to {address}"))?, request).await
            }
        }
    }
}

async fn exchange<S>(stream: S, mut request: Request<Body>) -> Result<http::Response<Incoming>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    request.headers_mut().entry(HOST).or_insert(HeaderValue::from_static("localhost"));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

/// A request to `localhost`, unless a `host` header says otherwise.
pub(crate) fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path)
}

/// No body.
pub(crate) fn empty() -> Body {
    full(Bytes::new())
}

/// A body that is at hand.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// A file, streamed.
pub(crate) fn file(file: tokio::fs::File) -> Body {
    use futures_util::TryStreamExt;
    StreamBody::new(tokio_util::io::ReaderStream::with_capacity(file, 1 << 18).map_ok(Frame::data)).boxed()
}
