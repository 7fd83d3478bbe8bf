//! An edge whose table the test fills, and clients for it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
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
