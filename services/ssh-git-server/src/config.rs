//! What an operator can set.

use std::{net::SocketAddr, path::PathBuf};

use paastech_git_controller::archive;
use paastech_runtime::{
    MetricsConfig, Neighbour, TlsConfig,
    telemetry::{LogConfig, TracingConfig},
};
use serde::{Deserialize, Serialize};

use crate::ssh::host_key;

/// The configuration of the SSH server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where it listens for SSH.
    pub listen: SocketAddr,
    /// Where the api's internal side is; the separate binary needs an address.
    pub control: Neighbour,
    /// The separate binary's certificate, for an api that has one.
    pub tls: Option<TlsConfig>,
    /// How the separate binary logs.
    pub log: LogConfig,
    /// Where the separate binary serves its metrics.
    pub metrics: MetricsConfig,
    /// Where its traces go.
    pub tracing: TracingConfig,
    /// The git-controller's directory of repositories.
    pub repositories: PathBuf,
    /// Its own directory: host key, hook socket, hooks.
    pub state_dir: PathBuf,
    /// The git program.
    pub git: PathBuf,
    /// The program that holds the applets; this one when absent.
    pub applet: Option<PathBuf>,
    /// The bounds of the walk over a pushed tree; the project's own limit on bytes applies as well.
    pub archive: archive::Limits,
    /// How much one may ask of it.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 2222)),
            control: Neighbour::InProcess,
            tls: None,
            log: LogConfig::default(),
            metrics: MetricsConfig::default(),
            tracing: TracingConfig::default(),
            repositories: PathBuf::from("/var/lib/paastech/repositories"),
            state_dir: PathBuf::from("/var/lib/paastech/ssh"),
            git: PathBuf::from("/usr/bin/git"),
            applet: None,
            archive: archive::Limits::default(),
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// Where the host key is.
    #[must_use]
    pub fn host_key(&self) -> PathBuf {
        self.state_dir.join(host_key::FILE)
    }
}

/// How much one may ask of the SSH server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address.
    pub connections_per_ip: usize,
    /// Log-ins under way from one address; further ones wait.
    pub logins_per_ip: usize,
    /// How long a log-in may take.
    pub login_seconds: u64,
    /// Unknown keys from one address each minute.
    pub unknown_keys_per_minute: u32,
    /// Channels of one connection.
    pub channels_per_connection: usize,
    /// git processes of one connection.
    pub children_per_connection: usize,
    /// git processes of one account.
    pub children_per_account: usize,
    /// git processes in all.
    pub children: usize,
    /// How long a client may wait before it sends anything to git.
    pub first_byte_seconds: u64,
    /// How long a pack may take to arrive, or a fetch in all.
    pub receive_seconds: u64,
    /// How long a push may take in all: the longest build and five minutes.
    pub push_seconds: u64,
    /// How long a push waits for an api that has gone away.
    pub reconnect_seconds: u64,
    /// Below this much free space, or what one push may be, no push is taken.
    pub min_free_bytes: u64,
    /// What the repository of one project may take on disk.
    pub max_repository_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            connections_per_ip: 16,
            logins_per_ip: 4,
            login_seconds: 30,
            unknown_keys_per_minute: 60,
            channels_per_connection: 4,
            children_per_connection: 2,
            children_per_account: 8,
            children: 64,
            first_byte_seconds: 60,
            receive_seconds: 30 * 60,
            push_seconds: 65 * 60,
            reconnect_seconds: 120,
            min_free_bytes: 256 << 20,
            max_repository_bytes: 2 << 30,
        }
    }
}
