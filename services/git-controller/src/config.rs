//! What an operator can set.

use std::{net::SocketAddr, path::PathBuf};

use paastech_runtime::{
    MetricsConfig, TlsConfig,
    telemetry::{LogConfig, TracingConfig},
};
use serde::{Deserialize, Serialize};

use crate::archive;

/// The configuration of the git-controller.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the separate binary listens.
    pub listen: SocketAddr,
    /// The separate binary's certificate; without one it listens on loopback only.
    pub tls: Option<TlsConfig>,
    /// How the separate binary logs.
    pub log: LogConfig,
    /// Where the separate binary serves its metrics.
    pub metrics: MetricsConfig,
    /// Where its traces go.
    pub tracing: TracingConfig,
    /// The directory that holds the repositories.
    pub root: PathBuf,
    /// The git program, for maintenance and bundles.
    pub git: PathBuf,
    /// The program that holds the cage of git; this one when absent.
    pub applet: Option<PathBuf>,
    /// The bounds of one archive: defaults, and the most a caller can ask for.
    pub archive: archive::Limits,
    /// How long one maintenance run may take.
    pub maintain_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7001)),
            tls: None,
            log: LogConfig::default(),
            metrics: MetricsConfig::default(),
            tracing: TracingConfig::default(),
            root: PathBuf::from("/var/lib/paastech/repositories"),
            git: PathBuf::from("/usr/bin/git"),
            applet: None,
            archive: archive::Limits::default(),
            maintain_seconds: 3600,
        }
    }
}
