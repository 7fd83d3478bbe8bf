//! Our own accept loop: how many connections there are, how long they live, and how they end.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use paastech_runtime::Shutdown;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::task::TaskTracker;

use crate::{
    EdgeConfig,
    body::Download,
    config::ms,
    pulse::{Pulse, Watched},
};

/// How long a connection that is to end has for that.
const FAREWELL: Duration = Duration::from_millis(500);

/// What answers requests.
pub(crate) trait Handler: Send + Sync + 'static {
    /// The answer to one request on this connection.
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: Arc<ClientConnection>,
    ) -> impl Future<Output = Response<Download>> + Send;
}

/// A client's connection; it counts against the limits as long as anything holds this.
pub(crate) struct ClientConnection {
    pub(crate) peer: SocketAddr,
    pub(crate) pulse: Arc<Pulse>,
    _ticket: Ticket,
}

/// Accepts connections and serves them with `handler` until the drain begins; then waits until they have ended, or
/// until the cut.
pub(crate) async fn serve<H: Handler>(
    listener: TcpListener,
    handler: Arc<H>,
    config: Arc<EdgeConfig>,
    shutdown: Shutdown,
) {
    let door = Arc::new(Door {
        all: Arc::new(Semaphore::new(config.limits.connections.clamp(1, Semaphore::MAX_PERMITS))),
        per_ip: Mutex::default(),
        limit: config.limits.connections_per_ip,
    });
    let builder = Arc::new(builder(&config));
    let connections = TaskTracker::new();
    let mut draining = pin!(shutdown.draining());
    loop {
        let accepted = tokio::select! {
            () = &mut draining => break,
            accepted = door.accept(&listener) => accepted,
        };
        let Some((stream, peer, ticket)) = accepted else { continue };
        let client = Arc::new(ClientConnection { peer, pulse: Pulse::new(), _ticket: ticket });
        let served = serve_one(
            stream,
            client,
            Arc::clone(&handler),
            Arc::clone(&builder),
            Arc::clone(&config),
            shutdown.clone(),
        );
        connections.spawn(served);
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn serve_one<H: Handler>(
    stream: TcpStream,
    client: Arc<ClientConnection>,
    handler: Arc<H>,
    builder: Arc<auto::Builder<TokioExecutor>>,
    config: Arc<EdgeConfig>,
    shutdown: Shutdown,
) {
    let pulse = Arc::clone(&client.pulse);
    let io = TokioIo::new(Watched { stream, pulse: Arc::clone(&pulse) });
    let unanswered = TaskTracker::new();
    let waiting = unanswered.clone();
    let service = service_fn(move |request| {
        let answer = Arc::clone(&handler).handle(request, Arc::clone(&client));
        let waits = waiting.token();
        async move {
            let _waits = waits;
            Ok::<_, Infallible>(answer.await)
        }
    });
    let mut connection = pin!(builder.serve_connection_with_upgrades(io, service));
    // Who came a moment before is about to ask.
    let mut draining = pin!(async {
        shutdown.draining().await;
        pulse.asked(FAREWELL).await;
    });
    let mut cutting = pin!(shutdown.cutting());
    let mut overdue = pin!(pulse.overdue(&config.timeouts));
    let mut last = pin!(async {
        shutdown.draining().await;
        tokio::time::sleep(ms(config.timeouts.last_answer_ms)).await;
        unanswered.close();
        unanswered.wait().await;
    });
    let mut drained = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error = &*error, "a client's connection ended");
                }
                return;
            }
            reason = &mut overdue => {
                tracing::debug!(reason, "a client's connection is ended");
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(FAREWELL, connection).await.ok();
                return;
            }
            () = &mut draining, if !drained => {
                drained = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut last => {
                tracing::debug!("an answer that did not end is cut");
                return;
            }
            () = &mut cutting => return,
        }
    }
}

fn builder(config: &EdgeConfig) -> auto::Builder<TokioExecutor> {
    let limits = &config.limits;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // The pulse measures what hyper's header timeout would, and more.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(limits.headers)
        .max_buf_size(limits.header_bytes as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_bytes);
    builder
}

/// Who may come in.
struct Door {
    all: Arc<Semaphore>,
    per_ip: Mutex<HashMap<IpAddr, usize>>,
    limit: usize,
}

/// A place at the door, given back when dropped.
struct Ticket {
    door: Arc<Door>,
    from: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Door {
    /// The next connection; `None` when there was none to be had, or its address has too many.
    async fn accept(self: &Arc<Self>, listener: &TcpListener) -> Option<(TcpStream, SocketAddr, Ticket)> {
        let permit = Arc::clone(&self.all).acquire_owned().await.expect("the semaphore is never closed");
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Out of file descriptors, say: without a pause this would be a busy loop.
                tokio::time::sleep(Duration::from_millis(50)).await;
                return None;
            }
        };
        let from = neighbourhood(peer.ip());
        {
            let mut per_ip = self.per_ip.lock().unwrap_or_else(PoisonError::into_inner);
            let count = per_ip.entry(from).or_default();
            if *count >= self.limit {
                tracing::debug!(client = %from, "too many connections from one address");
                return None;
            }
            *count += 1;
        }
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a client's connection has no TCP_NODELAY");
        }
        Some((stream, peer, Ticket { door: Arc::clone(self), from, _permit: permit }))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut per_ip = self.door.per_ip.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = per_ip.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                per_ip.remove(&self.from);
            }
        }
    }
}

/// What counts as one address: whoever has one IPv6 address has its whole /64.
fn neighbourhood(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}
