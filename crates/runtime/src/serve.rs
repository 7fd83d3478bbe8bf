//! The gRPC server of a service: our stack, health, reflection, and a listener that refuses to leave loopback.

use std::{io, net::SocketAddr};

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    body::Body,
    server::NamedService,
    service::{Routes, RoutesBuilder},
    transport::Server,
};
use tower::Service;

use crate::{Shutdown, transport::ServerLayer};

/// A bound server that does not answer yet.
pub struct GrpcServer {
    listener: TcpListener,
}

impl GrpcServer {
    /// Binds; port 0 takes a free one.
    ///
    /// # Errors
    /// The address is taken, or lies beyond loopback: without mutual TLS no service listens there.
    pub async fn bind(listen: SocketAddr) -> io::Result<Self> {
        if !listen.ip().is_loopback() {
            let text = format!("{listen}: without mutual TLS a service listens on loopback only");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}")))?;
        Ok(Self { listener })
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// The system does not say.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until the drain, then finishes what is under way.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn run<S>(self, service: S, shutdown: Shutdown) -> anyhow::Result<()>
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
        Server::builder()
            .layer(ServerLayer)
            .max_frame_size(Some(1 << 20))
            .serve_with_incoming_shutdown(
                routes.routes(),
                TcpListenerStream::new(self.listener),
                shutdown.draining(),
            )
            .await?;
        Ok(())
    }
}
