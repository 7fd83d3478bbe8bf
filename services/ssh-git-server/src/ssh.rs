//! The SSH protocol: all that the rest of the server knows of the library that speaks it.

mod algorithms;
pub(crate) mod channel;
mod handler;
pub(crate) mod host_key;
mod stream;

use std::{sync::Arc, time::Duration};

use russh::{Disconnect, server};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use self::{handler::Handler, host_key::HostKey, stream::Cancellable};
use crate::{connection::Connection, server::Shared};

/// Silence after which a client is asked for a sign of life; three unanswered ones end the connection.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long an unacknowledged packet keeps a dead connection.
const USER_TIMEOUT_MS: u32 = 60_000;
/// How long a connection that has nothing left to do may take to close, by itself or after it was told to.
const GOODBYE: Duration = Duration::from_secs(2);

/// A public key that a client offers, or has proved to hold.
pub(crate) struct ClientKey {
    /// The key in SSH wire form.
    pub(crate) blob: Vec<u8>,
    /// SHA-256 of it.
    pub(crate) fingerprint: Vec<u8>,
    /// It has signed with it.
    pub(crate) proven: bool,
}

/// What every connection shares.
#[derive(Clone)]
pub(crate) struct Protocol(Arc<server::Config>);

impl Protocol {
    pub(crate) fn new(host_key: &HostKey) -> Self {
        Self(Arc::new(algorithms::config(host_key)))
    }
}

/// Speaks SSH with one client until either side has had enough.
pub(crate) async fn serve(
    protocol: Protocol,
    shared: Arc<Shared>,
    stream: TcpStream,
    connection: Arc<Connection>,
) {
    if let Err(error) = keep_alive(&stream) {
        tracing::debug!(error = %error, "a socket option was refused");
    }
    let cut = CancellationToken::new();
    // Dropping the library's session leaves its task running: only an error of its stream ends that.
    let _cut_on_drop = cut.clone().drop_guard();
    let ip = connection.ip;
    let handler = Handler::new(shared.clone(), connection.clone());
    let login = Duration::from_secs(shared.config.limits.login_seconds);
    let logged_in = connection.logged_in.clone();
    let session = async {
        let session = server::run_stream(protocol.0, Cancellable::new(stream, cut.clone()), handler).await?;
        let handle = session.handle();
        tokio::pin!(session);
        tokio::select! {
            ended = &mut session => return ended,
            () = connection.idle_after(shared.shutdown.draining()) => {}
        }
        // A client that has just had its exit status closes the connection itself.
        if let Ok(ended) = tokio::time::timeout(GOODBYE, &mut session).await {
            return ended;
        }
        let goodbye = handle.disconnect(Disconnect::ByApplication, "shutting down".to_owned(), String::new());
        let told = async {
            goodbye.await.ok();
            (&mut session).await
        };
        tokio::time::timeout(GOODBYE, told).await.ok();
        Ok(())
    };
    let too_slow = async {
        tokio::time::sleep(login).await;
        if !logged_in.is_cancelled() {
            return;
        }
        std::future::pending().await
    };
    tokio::select! {
        ended = session => if let Err(error) = ended {
            tracing::debug!(error = %error, client.ip = %ip, "a connection ended");
        },
        () = too_slow => tracing::debug!(client.ip = %ip, "a log-in took too long"),
        () = shared.shutdown.cutting() => {}
    }
}

fn keep_alive(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_keepalive(stream, true)?;
    rustix::net::sockopt::set_tcp_user_timeout(stream, USER_TIMEOUT_MS)?;
    Ok(())
}
