//! An app in this process: it says who it is, echoes, and tells what it was sent.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
};

pub(crate) type Body = BoxBody<Bytes, hyper::Error>;

/// A running app; it stops, connections and all, when dropped.
pub(crate) struct App {
    pub(crate) addr: SocketAddr,
    /// `/held` answers once for every permit given.
    pub(crate) gate: Arc<Semaphore>,
    /// Connections that are open.
    pub(crate) open: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl App {
    pub(crate) async fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let gate = Arc::new(Semaphore::new(0));
        let open = Arc::<AtomicUsize>::default();
        let (name, held, count) = (name.to_owned(), Arc::clone(&gate), Arc::clone(&open));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (name, held, count) = (name.clone(), Arc::clone(&held), Arc::clone(&count));
                count.fetch_add(1, Ordering::SeqCst);
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let (name, held) = (name.clone(), Arc::clone(&held));
                        async move { Ok::<_, Infallible>(answer(&name, &held, request).await) }
                    });
                    auto::Builder::new(TokioExecutor::new())
                        .serve_connection_with_upgrades(TokioIo::new(stream), service)
                        .await
                        .ok();
                    count.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { addr, gate, open, task }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(name: &str, held: &Semaphore, request: Request<Incoming>) -> Response<Body> {
    match request.uri().path() {
        "/echo" => echo(request),
        "/flood" => flood(),
        "/sum" => {
            let body = request.into_body().collect().await;
            text(body.map_or_else(|_| "broken".to_owned(), |body| format!("{} bytes", body.to_bytes().len())))
        }
        "/early" => text("before the body"),
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

/// The request's body as it comes, trailers and all.
fn echo(request: Request<Incoming>) -> Response<Body> {
    let trailer = request.headers().get(header::TRAILER).cloned();
    let mut response = Response::new(request.into_body().boxed());
    if let Some(trailer) = trailer {
        response.headers_mut().insert(header::TRAILER, trailer);
    }
    response
}

/// A body without an end.
fn flood() -> Response<Body> {
    let pieces = futures_util::stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[b'x'; 65536]))));
    Response::new(BodyExt::boxed(StreamBody::new(pieces)))
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

/// An app that answers its n-th connection with the n-th text (the last one over and over), or closes it, and keeps
/// what it was sent.
pub(crate) struct Script {
    pub(crate) addr: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Script {
    pub(crate) async fn start(answers: &'static [Option<&'static str>]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            for n in 0.. {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let said = hear(&mut stream).await;
                all.lock().expect("not poisoned").push(said);
                if let Some(answer) = answers[n.min(answers.len() - 1)] {
                    stream.write_all(answer.as_bytes()).await.ok();
                }
            }
        });
        Self { addr, heard, task }
    }

    /// What came on each connection.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("not poisoned").clone()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Everything that comes until nothing more does for a moment.
async fn hear(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut buf = [0; 4096];
    let pause = Duration::from_millis(100);
    while let Ok(Ok(read @ 1..)) = tokio::time::timeout(pause, stream.read(&mut buf)).await {
        all.extend_from_slice(&buf[..read]);
    }
    String::from_utf8_lossy(&all).into_owned()
}
