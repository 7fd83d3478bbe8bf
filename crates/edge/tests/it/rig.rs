//! An edge whose table the test fills, and clients for it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use paastech_edge::{Edge, EdgeConfig, Replica, RouteTable};
use paastech_runtime::Shutdown;
use paastech_types::{ProjectId, ReleaseId};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub(crate) const HOST: &str = "app.user-app.localhost";

/// A serving edge; stopped when dropped.
pub(crate) struct Rig {
    pub(crate) addr: SocketAddr,
    pub(crate) internal: SocketAddr,
    pub(crate) table: Arc<RouteTable>,
    pub(crate) shutdown: Shutdown,
    project: ProjectId,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut EdgeConfig)) -> Self {
        let mut config =
            EdgeConfig { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..EdgeConfig::default() };
        change(&mut config);
        let edge = Edge::with_table(config).await.expect("binds");
        let (addr, internal, table) = (edge.addr(), edge.internal_addr(), edge.table());
        let shutdown = Shutdown::new();
        shutdown.spawn("edge", edge.run(shutdown.clone()));
        Self { addr, internal, table, shutdown, project: ProjectId::new() }
    }

    /// A replica of release `seq` at `addr`, ready unless there is none.
    pub(crate) fn replica(&self, seq: i64, addr: impl Into<Option<SocketAddr>>) -> Replica {
        let ready = addr.into();
        Replica {
            container: format!("c{seq}-{ready:?}"),
            project: self.project,
            release: ReleaseId::new(),
            seq,
            hosts: vec![HOST.parse().expect("a host")],
            ready,
        }
    }

    /// Sends bytes on a connection of its own and reads until the edge closes it.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).await.expect("connects");
        stream.write_all(request.as_bytes()).await.expect("sends");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "the edge keeps the connection open after {request:?}");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A connection on which these bytes were sent.
    pub(crate) async fn open(&self, bytes: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.addr).await.expect("connects");
        stream.write_all(bytes.as_bytes()).await.expect("sends");
        stream
    }

    /// A request on an HTTP/2 connection of its own.
    pub(crate) async fn h2<B>(&self, request: Request<B>) -> hyper::Result<Response<Incoming>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let io = TokioIo::new(TcpStream::connect(self.addr).await.expect("connects"));
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        sender.send_request(request).await
    }

    /// Requests and tunnels in flight, to whatever release.
    pub(crate) fn in_flight(&self) -> usize {
        let all = self.table.routes(None).into_iter().chain(self.table.draining(None));
        all.map(|route| route.in_flight).sum()
    }

    /// One request over HTTP/1.1 on a connection of its own.
    pub(crate) async fn get(&self, host: &str, path: &str) -> (StatusCode, String) {
        get(self.addr, host, path).await
    }

    /// What the internal address says at `path`.
    pub(crate) async fn ask(&self, path: &str) -> (StatusCode, String) {
        get(self.internal, "edge", path).await
    }
}

/// One request over HTTP/1.1 on a connection of its own.
pub(crate) async fn get(addr: SocketAddr, host: &str, path: &str) -> (StatusCode, String) {
    let request = Request::get(format!("http://{addr}{path}")).header("host", host);
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request.body(Full::<Bytes>::default()).expect("a request")).await;
    let response = response.expect("an answer");
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.shutdown.start_drain();
    }
}

/// Waits until `holds`, at most ten seconds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never happened: {what}");
}

/// Reads until `end` has come, at most ten seconds.
pub(crate) async fn read_to(stream: &mut TcpStream, end: &str) -> String {
    let mut all = String::new();
    let mut buf = [0; 4096];
    let reading = async {
        while !all.contains(end) {
            let read = stream.read(&mut buf).await.expect("readable");
            assert_ne!(read, 0, "closed after {all:?}");
            all.push_str(&String::from_utf8_lossy(&buf[..read]));
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.expect("comes in time");
    all
}

/// Whether the other side closes within ten seconds.
pub(crate) async fn closes(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await.is_ok()
}

/// An address where nobody listens.
pub(crate) async fn dead_addr() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address")
}
