//! The SSH front door: public key to account, account to project, then git itself, with hooks that stream a build
//! and a deployment back to the pusher.

pub mod applet;
mod child;
mod command;
pub mod config;
mod connection;
mod control;
pub mod error;
mod hook;
mod limits;
mod metrics;
mod pktline;
mod push;
mod server;
mod session;
mod ssh;
mod state;
mod text;

use std::{io, net::SocketAddr, sync::LazyLock};

use paastech_git_controller::{Repositories, cage};
use paastech_proto::control::control_client::ControlClient;
use paastech_runtime::{Shutdown, Transport};
use tokio::net::TcpListener;

pub use crate::{config::Config, error::Error};
use crate::{control::Control, metrics::METRICS, server::Shared, ssh::host_key::HostKey, state::State};

/// A server that is bound and does not answer yet.
pub struct Service {
    config: Config,
    control: Control,
    repositories: Repositories,
    listener: TcpListener,
    state: State,
    host_key: HostKey,
}

/// Binds the SSH address and the hooks' socket; makes the host key if there is none. Port 0 takes a free one.
///
/// # Errors
/// The address is taken, or the state directory cannot be used.
pub async fn build(config: Config, control: ControlClient<Transport>) -> Result<Service, Error> {
    LazyLock::force(&METRICS);
    let repositories =
        Repositories::open(&config.repositories).map_err(Error::state(&config.repositories))?;
    let state = state::prepare(&config.state_dir, config.applet.as_deref())?;
    let host_key = HostKey::load(&config.state_dir)?;
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|source| Error::Listen { address: config.listen, source })?;
    if !cage::is_confinable() {
        tracing::warn!("this kernel has no Landlock: git is not confined to the one repository it works on");
    }
    Ok(Service { config, control: Control::new(control), repositories, listener, state, host_key })
}

impl Service {
    /// Where it is bound.
    ///
    /// # Errors
    /// The system does not say.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The host key's fingerprint, as clients show it: `SHA256:…`.
    #[must_use]
    pub fn host_key_fingerprint(&self) -> String {
        self.host_key.fingerprint()
    }

    /// The host's public key, as `known_hosts` holds it: `ssh-ed25519 AAAA…`.
    #[must_use]
    pub fn host_public_key(&self) -> String {
        self.host_key.public()
    }

    /// Serves until the drain; pushes under way are finished, unless they are cut.
    ///
    /// # Errors
    /// None of its own: what fails ends a connection, not the server.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        tracing::info!(address = %self.addr()?, host_key = self.host_key_fingerprint(), "serving git over SSH");
        let protocol = ssh::Protocol::new(&self.host_key);
        let State { paths, hooks, lock: _lock } = self.state;
        let shared = Shared::new(self.config, self.control, self.repositories, paths, shutdown.clone());
        shutdown.spawn("hooks", push::listener::run(shared.clone(), hooks));
        server::run(shared, self.listener, protocol).await
    }
}
