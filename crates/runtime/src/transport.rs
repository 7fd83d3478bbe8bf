//! One client type for both shapes: a boxed service that is either a channel or the generated server itself.
//!
//! Both run through the same stack, so deadlines, traces and panics behave alike in process and over TCP.

mod count;

use std::{
    fmt, io,
    str::FromStr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tonic::{Code, Status, body::Body, transport::Endpoint};
use tower::{BoxError, Layer, Service, ServiceExt, util::BoxCloneSyncService};
use tracing::Instrument as _;

use self::count::Count;
use crate::{
    Peer, Tls,
    trace::{TRACEPARENT, Trace},
};

/// What a generated client is made over.
pub type Transport = BoxCloneSyncService<Request<Body>, Response<Body>, CallError>;

/// A call that did not reach its service. A type of its own, because a boxed error's hidden lifetime makes the
/// compiler lose sight of which futures are `Send`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CallError(#[source] BoxError);

/// The deadline of a call that sets none: time to the first byte of the answer.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

const GRPC_TIMEOUT: &str = "grpc-timeout";

/// Where a service's neighbour is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Neighbour {
    /// In this process.
    #[default]
    InProcess,
    /// At this address: `http://host:port` on loopback, `https://host:port` with mutual TLS.
    Url(Uri),
}

impl FromStr for Neighbour {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "in-process" {
            return Ok(Self::InProcess);
        }
        match text.parse::<Uri>() {
            Ok(uri) if is_http(&uri) && uri.authority().is_some() => Ok(Self::Url(uri)),
            _ => Err(format!("`{text}` is neither `in-process` nor an address like http://127.0.0.1:7001")),
        }
    }
}

impl TryFrom<String> for Neighbour {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Neighbour> for String {
    fn from(neighbour: Neighbour) -> String {
        neighbour.to_string()
    }
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InProcess => f.write_str("in-process"),
            Self::Url(uri) => uri.fmt(f),
        }
    }
}

/// A transport to a server in this process.
pub fn in_process<S>(server: S) -> Transport
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
{
    BoxCloneSyncService::new(ClientStack { inner: ServerLayer.layer(server).map_err(CallError) })
}

fn is_http(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https"))
}

/// A transport to the service `to` at `uri`, connected at the first call and again whenever the connection is lost.
///
/// # Errors
/// `https` without a certificate to show, or `http` with one.
pub fn remote(uri: &Uri, tls: Option<&Arc<Tls>>, to: Peer) -> io::Result<Transport> {
    let problem = |text: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{uri}: {text}")));
    let channel = match (uri.scheme_str(), tls) {
        (Some("https"), None) => return problem("https needs certificates: set tls"),
        (Some("http"), Some(_)) => return problem("a service with certificates calls https only"),
        (_, None) => endpoint(uri.clone()).connect_lazy(),
        (_, Some(tls)) => {
            // To tonic it is a plain connection: the stream that it gets is secured already.
            let address = uri.authority().map_or("", |authority| authority.as_str()).to_owned();
            let plain = Uri::builder().scheme("http").authority(address.as_str()).path_and_query("/").build();
            let tls = Arc::clone(tls);
            let connect = tower::service_fn(move |_: Uri| {
                let (tls, address) = (Arc::clone(&tls), address.clone());
                async move { tls.connect(&address, to).await.map(TokioIo::new) }
            });
            endpoint(plain.map_err(io::Error::other)?).connect_with_connector_lazy(connect)
        }
    };
    let inner = channel.map_err(|error| CallError(not_reached(error.into()).into()));
    Ok(BoxCloneSyncService::new(ClientStack { inner }))
}

/// A connection that fails is the neighbour's absence, in whatever way it failed: worth another try.
fn not_reached(error: BoxError) -> Status {
    match Status::from_error(error) {
        status if status.code() == Code::Unknown => Status::unavailable(status.message()),
        status => status,
    }
}

fn endpoint(uri: Uri) -> Endpoint {
    Endpoint::from(uri)
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .tcp_keepalive(Some(Duration::from_secs(10)))
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
}

/// The caller's half of the stack: a deadline on every call, and the trace.
#[derive(Clone)]
struct ClientStack<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for ClientStack<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = CallError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = CallError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let headers = request.headers_mut();
        if !headers.contains_key(GRPC_TIMEOUT) {
            let value = format!("{}m", DEFAULT_DEADLINE.as_millis());
            headers.insert(GRPC_TIMEOUT, HeaderValue::try_from(value).expect("digits are a header value"));
        }
        headers.insert(TRACEPARENT, Trace::current().header());
        let clone = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move { ready.call(request).await })
    }
}

/// The server's half of the stack. The handler runs in a task of its own until the head of its answer, so that a
/// caller that goes away cannot cut an effect in half; the deadline bounds only how long the caller waits.
#[derive(Clone)]
pub struct ServerLayer;

impl<S> Layer<S> for ServerLayer {
    type Service = ServerStack<S>;
    fn layer(&self, inner: S) -> ServerStack<S> {
        ServerStack { inner }
    }
}

/// See [`ServerLayer`].
#[derive(Clone)]
pub struct ServerStack<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for ServerStack<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let clone = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, clone);
        let deadline = deadline_of(request.headers());
        let trace = Trace::from_headers(request.headers());
        let span = trace.begin(tracing::info_span!("rpc", method = request.uri().path(), trace.id = %trace));
        let count = Count::begin(request.uri().path());
        Box::pin(async move {
            let call = async move { ready.call(request).await.map_err(Into::into) };
            let handler = tokio::spawn(trace.scope(call).instrument(span));
            let answer = match tokio::time::timeout(deadline, handler).await {
                Ok(Ok(answer)) => answer?,
                Ok(Err(panic)) => {
                    tracing::error!(error = %panic, "a handler panicked");
                    Status::internal("internal error").into_http()
                }
                Err(_) => Status::deadline_exceeded("the deadline has passed").into_http(),
            };
            Ok(count.until_end(answer))
        })
    }
}

/// The `grpc-timeout` header: at most 8 digits and a unit.
fn deadline_of(headers: &HeaderMap) -> Duration {
    let parsed = headers.get(GRPC_TIMEOUT).and_then(|value| value.to_str().ok()).and_then(|text| {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let amount: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
        Some(match unit {
            "H" => Duration::from_secs(amount * 3600),
            "M" => Duration::from_secs(amount * 60),
            "S" => Duration::from_secs(amount),
            "m" => Duration::from_millis(amount),
            "u" => Duration::from_micros(amount),
            "n" => Duration::from_nanos(amount),
            _ => return None,
        })
    });
    parsed.unwrap_or(DEFAULT_DEADLINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_is_in_process_or_a_url() {
        assert_eq!("in-process".parse(), Ok(Neighbour::InProcess));
        assert!(matches!("http://127.0.0.1:7001".parse(), Ok(Neighbour::Url(_))));
        for text in ["", "inprocess", "127.0.0.1:1", "ftp://x"] {
            assert!(text.parse::<Neighbour>().is_err(), "{text}");
        }
    }

    #[test]
    fn reads_the_deadline() {
        let mut headers = HeaderMap::new();
        assert_eq!(deadline_of(&headers), DEFAULT_DEADLINE);
        for (text, expected) in
            [("5S", 5_000), ("250m", 250), ("1M", 60_000), ("x", 30_000), ("999999999S", 30_000)]
        {
            headers.insert(GRPC_TIMEOUT, HeaderValue::from_static(text));
            assert_eq!(deadline_of(&headers), Duration::from_millis(expected), "{text}");
        }
    }
}
