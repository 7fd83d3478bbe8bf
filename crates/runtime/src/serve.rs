//! The gRPC server of a service: our stack, health, reflection, and a listener that refuses to leave loopback.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{
    FutureExt as _,
    future::{self, BoxFuture},
};
use http::{Request, Response};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Status,
    body::Body,
    server::NamedService,
    service::{Routes, RoutesBuilder},
    transport::Server,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower::Service;

use crate::{
    Peer, Shutdown, Tls,
    transport::{ServerLayer, remote},
};

const HEALTH: &str = "/grpc.health.v1.Health/";

/// A bound server that does not answer yet.
pub struct GrpcServer {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
}

impl GrpcServer {
    /// Binds; port 0 takes a free one.
    ///
    /// # Errors
    /// The address is taken, or lies beyond loopback: without mutual TLS no service listens there.
    pub async fn bind(listen: SocketAddr, tls: Option<Arc<Tls>>) -> io::Result<Self> {
        if !listen.ip().is_loopback() && tls.is_none() {
            let text = format!("{listen}: without mutual TLS a service listens on loopback only: set tls");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}")))?;
        Ok(Self { listener, tls })
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// The system does not say.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until the drain, then finishes what is under way. With mutual TLS only `callers` may call the service,
    /// and every service may ask for its health.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn run<S>(self, service: S, callers: &'static [Peer], shutdown: Shutdown) -> anyhow::Result<()>
    where
        S: Service<http::Request<Body>, Error = std::convert::Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<S>().await;
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(paastech_proto::DESCRIPTORS)
            .build_v1()?;
        let mut routes: RoutesBuilder = Routes::builder();
        routes.add_service(service);
        routes.add_service(health_service);
        routes.add_service(reflection);
        let callers = tower::layer::layer_fn(move |inner| Callers { inner, callers });
        let server = Server::builder().layer(callers).layer(ServerLayer).max_frame_size(Some(1 << 20));
        let (routes, drain) = (routes.routes(), shutdown.draining());
        match self.tls {
            Some(tls) => {
                let secured = tls.accept(self.listener);
                server.serve_with_incoming_shutdown(routes, secured, drain).await?;
            }
            None => {
                let plain = TcpListenerStream::new(self.listener);
                server.serve_with_incoming_shutdown(routes, plain, drain).await?;
            }
        }
        Ok(())
    }
}

/// Where on this host one reaches what listens there: nobody connects to an unspecified address.
#[must_use]
pub fn on_this_host(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    listen
}

/// Asks the service `who`, which listens at `listen` on this host, whether it serves.
///
/// # Errors
/// It does not.
pub async fn check_health(listen: SocketAddr, tls: Option<&Arc<Tls>>, who: Peer) -> anyhow::Result<()> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let transport = remote(&format!("{scheme}://{}", on_this_host(listen)).parse()?, tls, who)?;
    let health = HealthClient::new(transport).check(HealthCheckRequest::default()).await?.into_inner();
    anyhow::ensure!(health.status() == ServingStatus::Serving, "{} says {:?}", who.name(), health.status());
    Ok(())
}

/// Refuses peers that have no business here. Who is without mutual TLS is on this host's loopback.
#[derive(Clone)]
struct Callers<S> {
    inner: S,
    callers: &'static [Peer],
}

impl<S> Service<Request<Body>> for Callers<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let peer = request.extensions().get::<Peer>().copied();
        let may = peer.is_none_or(|peer| self.callers.contains(&peer));
        if may || request.uri().path().starts_with(HEALTH) {
            return self.inner.call(request).boxed();
        }
        let peer = peer.map_or("", Peer::name);
        tracing::warn!(peer, method = request.uri().path(), "a service called what it may not");
        let text = format!("{peer} may not call this service");
        future::ready(Ok(Status::permission_denied(text).into_http())).boxed()
    }
}
