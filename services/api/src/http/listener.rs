//! Accepting connections, over TCP and at the administrators' Unix socket: limits, a time for the head, a drain.

use std::{
    fs,
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use paastech_runtime::Shutdown;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tower::ServiceExt as _;

use super::visitors::{Visit, Visitors};
use crate::auth::caller::Origin;

/// From the connection to the end of a request's head.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// From the drain until open connections are cut.
const DRAIN_TIME: Duration = Duration::from_secs(15);

/// Who is let in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admission {
    /// Connections at once.
    pub(crate) all: usize,
    pub(crate) of_one_address: usize,
    /// Who is believed when it says whom a request comes from.
    pub(crate) proxy: Option<IpAddr>,
}

/// Where HTTP is served.
pub(crate) enum Listener {
    /// On the network.
    Tcp(TcpListener),
    /// On this host; the file is removed at the end.
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Binds an address; port 0 takes a free one.
    pub(crate) async fn tcp(address: SocketAddr) -> io::Result<Self> {
        let bound = TcpListener::bind(address).await;
        bound.map(Self::Tcp).map_err(|error| named(&error, &format!("cannot listen on {address}")))
    }

    /// Binds a socket that this user and root may reach; a file that nobody serves any more is replaced.
    pub(crate) async fn unix(path: &Path) -> io::Result<Self> {
        if UnixStream::connect(path).await.is_ok() {
            let text = format!("{}: another process serves it", path.display());
            return Err(io::Error::new(ErrorKind::AddrInUse, text));
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let bound = UnixListener::bind(path).map_err(|error| named(&error, &path.display().to_string()))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self::Unix(bound, path.to_owned()))
    }

    /// Where a TCP listener is bound.
    pub(crate) fn addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            Self::Unix(..) => Err(io::Error::other("a Unix socket has no address")),
        }
    }

    /// Serves until the drain, then lets what is under way end.
    pub(crate) async fn run(
        self,
        router: Router,
        admission: Admission,
        shutdown: Shutdown,
    ) -> anyhow::Result<()> {
        let server = Server {
            router,
            slots: Arc::new(Semaphore::new(admission.all)),
            visitors: Visitors::new(admission.of_one_address),
            proxy: admission.proxy,
            shutdown: shutdown.clone(),
        };
        let graceful = GracefulShutdown::new();
        loop {
            let permit = tokio::select! {
                permit = server.slots.clone().acquire_owned() => permit?,
                () = shutdown.draining() => break,
            };
            let accepted = tokio::select! {
                accepted = self.accept() => accepted,
                () = shutdown.draining() => break,
            };
            match accepted {
                Ok(Some((stream, origin))) => match server.visitors.enter(origin) {
                    Some(visit) => server.serve(stream, origin, (permit, visit), &graceful),
                    None => tracing::debug!(?origin, "refused: too many connections from there"),
                },
                Ok(None) => {}
                // Out of descriptors, say: the next moment may be better.
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        if let Self::Unix(listener, path) = self {
            drop(listener);
            drop(fs::remove_file(path));
        }
        if tokio::time::timeout(DRAIN_TIME, graceful.shutdown()).await.is_err() {
            tracing::warn!("connections were still open at the end of the drain");
        }
        Ok(())
    }

    async fn accept(&self) -> io::Result<Option<(Box<dyn Stream>, Origin)>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Some((Box::new(stream), Origin::at(peer.ip()))))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let peer = stream.peer_cred()?.uid();
                if peer == 0 || peer == rustix::process::geteuid().as_raw() {
                    return Ok(Some((Box::new(stream), Origin::AdminSocket)));
                }
                tracing::warn!(uid = peer, "refused at the administrators' socket");
                Ok(None)
            }
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

struct Server {
    router: Router,
    slots: Arc<Semaphore>,
    visitors: Visitors,
    proxy: Option<IpAddr>,
    shutdown: Shutdown,
}

impl Server {
    fn serve(
        &self,
        stream: Box<dyn Stream>,
        origin: Origin,
        (permit, visit): (OwnedSemaphorePermit, Visit),
        graceful: &GracefulShutdown,
    ) {
        let proxied = self.proxy.is_some_and(|proxy| origin == Origin::at(proxy));
        let service = self.router.clone().map_request(move |mut request: http::Request<_>| {
            let told = proxied.then(|| Origin::told(request.headers())).flatten();
            request.extensions_mut().insert(told.unwrap_or(origin));
            request
        });
        // HTTP/1 alone: telling the versions apart waits for a first byte that need never come.
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = graceful.watch(connection);
        let cutting = self.shutdown.cutting();
        self.shutdown.track(async move {
            let _held = (permit, visit);
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                },
                () = cutting => {}
            }
        });
    }
}

fn named(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
