//! The engine behind the gate: one connection per request, and every request written here.

use std::{io, path::Path};

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt as _, combinators::BoxBody};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// The body of a request that has none.
pub(crate) fn empty() -> BoxBody<Bytes, io::Error> {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed()
}

/// Sends one request to the engine at `socket`.
pub(crate) async fn send(
    socket: &Path,
    method: Method,
    target: &str,
    body: BoxBody<Bytes, io::Error>,
) -> io::Result<Response<Incoming>> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, "engine")
        .header(header::CONTENT_TYPE, "application/x-tar")
        .body(body)
        .map_err(io::Error::other)?;
    sender.send_request(request).await.map_err(io::Error::other)
}
