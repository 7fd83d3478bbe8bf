//! What an operator can set.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use paastech_runtime::MetricsConfig;
use serde::{Deserialize, Serialize};

/// The edge's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeConfig {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where the platform asks what is routed. Never an address that clients reach.
    pub internal_listen: SocketAddr,
    /// The engine's socket, or that of a gate that lets lists and events through.
    pub socket: PathBuf,
    /// The installation whose containers are routed.
    pub instance: String,
    /// The name and the place of the platform's own API, where clients reach it through this proxy.
    pub api: Option<ApiRoute>,
    /// Where the separate process serves its metrics.
    pub metrics: MetricsConfig,
    /// Whether every request leaves a line in the log.
    pub access_log: bool,
    /// What a client may use.
    pub limits: Limits,
    /// How long things may take.
    pub timeouts: Timeouts,
}

/// Where the platform's API is, and by which name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiRoute {
    /// The name that clients use.
    pub host: String,
    /// Where it is served.
    pub address: SocketAddr,
}

/// What a client may use.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at once; more wait in the listener's backlog.
    pub connections: usize,
    /// Connections at once from one address (IPv6: from one /64); more are closed.
    pub connections_per_ip: usize,
    /// Size of a request's head, at least 8192.
    pub header_bytes: u32,
    /// Header lines in a request.
    pub headers: usize,
    /// Size of a request's body; 0 = no limit.
    pub body_bytes: u64,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
}

/// How long things may take, in milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// From a connection, or the first byte of a request, to the end of the request's head.
    pub header_ms: u64,
    /// Between two requests on one connection.
    pub keep_alive_ms: u64,
    /// Between two pieces of a request's body.
    pub upload_idle_ms: u64,
    /// While the client takes nothing of what is sent to it.
    pub write_stall_ms: u64,
    /// To connect to an app.
    pub connect_ms: u64,
    /// From the last piece of the request to the head of the app's answer.
    pub response_ms: u64,
    /// Between two pieces of the app's answer.
    pub response_idle_ms: u64,
    /// While nothing moves in an upgraded connection.
    pub tunnel_idle_ms: u64,
    /// While stopping: what is left to an answer that has begun, since nobody is let in meanwhile.
    pub last_answer_ms: u64,
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            internal_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            socket: PathBuf::from("/var/run/docker.sock"),
            instance: String::new(),
            api: None,
            metrics: MetricsConfig::default(),
            access_log: true,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8192,
            connections_per_ip: 1024,
            header_bytes: 64 << 10,
            headers: 100,
            body_bytes: 1 << 30,
            streams: 128,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header_ms: 10_000,
            keep_alive_ms: 75_000,
            upload_idle_ms: 30_000,
            write_stall_ms: 30_000,
            connect_ms: 2_000,
            response_ms: 60_000,
            response_idle_ms: 600_000,
            tunnel_idle_ms: 3_600_000,
            last_answer_ms: 5_000,
        }
    }
}

/// The duration of a number of milliseconds from the configuration.
pub(crate) fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}
