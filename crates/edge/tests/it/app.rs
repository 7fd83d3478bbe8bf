//! An app in this process: it says who it is, echoes, and tells what it was sent.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Semaphore,
    task::JoinHandle,
};

pub(crate) type Body = BoxBody<Bytes, hyper::Error>;

/// A running app; it stops, connections and all, when dropped.
pub(crate) struct App {
    pub(crate) addr: SocketAddr,
    /// `/held` answers once for every permit given.
    pub(crate) gate: Arc<Semaphore>,
    task: JoinHandle<()>,
}

impl App {
    pub(crate) async fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let gate = Arc::new(Semaphore::new(0));
        let (name, held) = (name.to_owned(), Arc::clone(&gate));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (name, held) = (name.clone(), Arc::clone(&held));
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let (name, held) = (name.clone(), Arc::clone(&held));
                        async move { Ok::<_, Infallible>(answer(&name, &held, request).await) }
                    });
                    auto::Builder::new(TokioExecutor::new())
                        .serve_connection_with_upgrades(TokioIo::new(stream), service)
                        .await
                        .ok();
                });
            }
        });
        Self { addr, gate, task }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(name: &str, held: &Semaphore, request: Request<Incoming>) -> Response<Body> {
    match request.uri().path() {
        "/echo" => Response::new(request.into_body().boxed()),
        "/headers" => {
            let mut lines = format!("{} {}\n", request.method(), request.uri());
            for (name, value) in request.headers() {
                lines.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
            }
            text(lines)
        }
        "/held" => {
            held.acquire().await.expect("open").forget();
            text(format!("held by {name}"))
        }
        "/slow" => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            text("too late")
        }
        "/ws" => websocket(request),
        _ => text(format!("hello from {name}")),
    }
}

fn websocket(mut request: Request<Incoming>) -> Response<Body> {
    let asked = request.headers().get(header::UPGRADE).cloned();
    let Some(protocol) = asked else { return text("no upgrade asked") };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut io = TokioIo::new(upgrade.await.expect("upgraded"));
        let mut buf = [0; 1024];
        while let Ok(read @ 1..) = io.read(&mut buf).await {
            if io.write_all(&buf[..read]).await.is_err() {
                break;
            }
        }
    });
    let mut response = text("");
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, "upgrade".parse().expect("a value"));
    response.headers_mut().insert(header::UPGRADE, protocol);
    response
}

pub(crate) fn text(text: impl Into<Bytes>) -> Response<Body> {
    Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed())
}
