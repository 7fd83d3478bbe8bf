//! One container that takes traffic: where it is, what is in flight to it, and the connections kept to it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use paastech_labels::HostName;
use paastech_types::{ProjectId, ReleaseId};

use crate::body::Upload;

/// Shorter than the keep-alive of every common app server (2 s is the shortest), so that a kept connection is not
/// closed by the app just as a request goes out on it.
const POOL_IDLE: Duration = Duration::from_secs(1);
/// How long a server that refused a connection is taken only when there is no other.
const AVOID: Duration = Duration::from_secs(2);

/// One container that takes traffic.
pub(crate) struct Server {
    pub(crate) container: String,
    pub(crate) addr: SocketAddr,
    pub(crate) hosts: Vec<HostName>,
    pub(crate) project: ProjectId,
    pub(crate) release: ReleaseId,
    pub(crate) seq: i64,
    /// One pool each: when the server goes, so do its idle connections, and the app can stop at once.
    pub(crate) client: Client<HttpConnector, Upload>,
    in_flight: AtomicUsize,
    born: Instant,
    /// Milliseconds from `born` until which others are preferred.
    avoid_until: AtomicU64,
}

impl Server {
    pub(crate) fn new(replica: &crate::Replica, addr: SocketAddr, connect: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(connect));
        connector.set_nodelay(true);
        connector.set_keepalive(Some(Duration::from_secs(60)));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(64)
            .set_host(false)
            .build(connector);
        Self {
            container: replica.container.clone(),
            addr,
            hosts: replica.hosts.clone(),
            project: replica.project,
            release: replica.release,
            seq: replica.seq,
            client,
            in_flight: AtomicUsize::new(0),
            born: Instant::now(),
            avoid_until: AtomicU64::new(0),
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Others are preferred for a while: it refused a connection.
    pub(crate) fn avoid(&self) {
        self.avoid_until.store(self.age_ms(AVOID), Ordering::Relaxed);
    }

    pub(crate) fn is_avoided(&self) -> bool {
        self.avoid_until.load(Ordering::Relaxed) > self.age_ms(Duration::ZERO)
    }

    fn age_ms(&self, plus: Duration) -> u64 {
        u64::try_from((self.born.elapsed() + plus).as_millis()).unwrap_or(u64::MAX)
    }
}

/// One request, or one tunnel, on its way to a server: counted until this is dropped.
pub(crate) struct InFlight(Arc<Server>);

impl InFlight {
    pub(crate) fn enter(server: Arc<Server>) -> Self {
        server.in_flight.fetch_add(1, Ordering::SeqCst);
        Self(server)
    }

    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
