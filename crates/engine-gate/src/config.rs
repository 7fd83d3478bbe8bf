//! What an operator can set of the view for the proxy.

use std::path::PathBuf;

use paastech_runtime::MetricsConfig;
use serde::{Deserialize, Serialize};

/// The configuration of the view for the proxy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The socket that is made.
    pub socket: PathBuf,
    /// The engine's socket.
    pub engine: PathBuf,
    /// The installation whose containers are shown.
    pub instance: String,
    /// Where the process serves its metrics.
    pub metrics: MetricsConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            socket: "/run/paastech/gate/engine.sock".into(),
            engine: "/var/run/docker.sock".into(),
            instance: String::new(),
            metrics: MetricsConfig::default(),
        }
    }
}
