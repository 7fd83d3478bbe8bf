//! A connection that changed its protocol (WebSocket, say): bytes both ways until one side ends it.

use std::{sync::Arc, time::Duration};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use paastech_runtime::Shutdown;
use tokio::io::copy_bidirectional;

use crate::{accept::ClientConnection, access::Access, server::InFlight};

/// The two ends of a tunnel, and what lasts as long as it.
pub(crate) struct Tunnel {
    pub(crate) client: OnUpgrade,
    pub(crate) app: OnUpgrade,
    pub(crate) connection: Arc<ClientConnection>,
    pub(crate) in_flight: InFlight,
    pub(crate) access: Option<Access>,
}

/// Carries bytes until one side ends it, nothing moves for `idle`, or stopping begins: it might never end by itself.
pub(crate) async fn run(mut tunnel: Tunnel, idle: Duration, shutdown: Shutdown) {
    let ends = async { tokio::try_join!(&mut tunnel.client, &mut tunnel.app) };
    let outcome = tokio::select! {
        ends = ends => match ends {
            Ok((client, app)) => {
                let (mut client, mut app) = (TokioIo::new(client), TokioIo::new(app));
                tokio::select! {
                    copied = copy_bidirectional(&mut client, &mut app) => copied.map(|_| "closed").unwrap_or("broken"),
                    () = tunnel.connection.pulse.still(idle) => "idle",
                    () = shutdown.draining() => "stopped",
                }
            }
            Err(_) => "never begun",
        },
        () = shutdown.draining() => "stopped",
    };
    tracing::debug!(outcome, release.id = %tunnel.in_flight.server().release, "a tunnel ended");
    drop(tunnel.access);
}
