//! `GET /metrics`, and nothing else.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use prometheus_client::encoding::text;
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};

use super::{Gauge, Labelled, MetricsConfig, labelled, registry};
use crate::Shutdown;

/// Readers at one time; there is one, usually.
const CONNECTIONS: usize = 16;
/// From a connection to its end: one answer.
const WITHIN: Duration = Duration::from_secs(10);
/// Pause after the system could not give us a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const FORMAT: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

static BUILD: LazyLock<Labelled<Gauge, 2>> = LazyLock::new(|| {
    labelled("build_info", "Which program this is; always 1", ["service", "version"], Gauge::default)
});

/// Serves the process's metrics until the drain, as those of `service`; answers where, `None` when it is not to.
///
/// # Errors
/// The address is taken, or lies beyond loopback without being said to.
pub async fn serve(
    config: &MetricsConfig,
    service: &'static str,
    shutdown: &Shutdown,
) -> io::Result<Option<SocketAddr>> {
    let Some(listen) = config.listen else { return Ok(None) };
    if !listen.ip().is_loopback() && !config.beyond_loopback {
        let text = format!("metrics.listen {listen} is not on loopback: set metrics.beyond_loopback as well");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        io::Error::new(error.kind(), format!("metrics.listen: cannot listen on {listen}: {error}"))
    })?;
    let addr = listener.local_addr()?;
    BUILD.with([service, env!("CARGO_PKG_VERSION")]).set(1);
    shutdown.spawn("metrics", run(listener, shutdown.clone()));
    Ok(Some(addr))
}

async fn run(listener: TcpListener, shutdown: Shutdown) -> anyhow::Result<()> {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = shutdown.draining() => return Ok(()),
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        tokio::spawn(async move {
            let answer = service_fn(|request| async move { Ok::<_, Infallible>(answer(&request)) });
            let connection =
                http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), answer);
            // A reader that breaks off or dawdles is its own affair.
            drop(timeout(WITHIN, connection).await);
            drop(slot);
        });
    }
}

fn answer(request: &Request<Incoming>) -> Response<String> {
    let mut response = Response::new(String::new());
    if request.method() != Method::GET || request.uri().path() != "/metrics" {
        *response.status_mut() = StatusCode::NOT_FOUND;
    } else if text::encode(response.body_mut(), &registry()).is_ok() {
        response.headers_mut().insert(CONTENT_TYPE, FORMAT);
    } else {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    response
}
