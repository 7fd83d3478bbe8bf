//! The configuration of one process: what all services share, and a section for each.

use std::path::{Path, PathBuf};

use paastech_edge::EdgeConfig;
use paastech_runtime::{
    config::{self, ConfigError},
    telemetry::LogConfig,
};
use serde::{Deserialize, Serialize};

/// What an operator sets. Everything on disk lies in `data_dir`, so the sections' own paths are not asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Database, repositories, keys, logs.
    pub data_dir: PathBuf,
    /// Apps are served at `<project>.user-app.<domain>`.
    pub domain: String,
    /// From the first signal to the cut.
    pub stop_seconds: u64,
    /// Also serve the internal gRPC of the services that run here, each at its section's `listen`.
    pub serve_neighbours: bool,
    /// The log.
    pub log: LogConfig,
    /// The HTTP API. Its `git_controller` and `pomegranate` say where those are: `in-process` or a URL.
    pub api: paastech_api::Config,
    /// The SSH server.
    pub ssh: paastech_ssh_git_server::Config,
    /// The git-controller, when it is in this process.
    pub git_controller: paastech_git_controller::Config,
    /// Pomegranate, when it is in this process.
    pub pomegranate: pomegranate::Config,
    /// The proxy.
    pub edge: EdgeConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/paastech"),
            domain: "localhost".to_owned(),
            stop_seconds: 30,
            serve_neighbours: false,
            log: LogConfig::default(),
            api: paastech_api::Config::default(),
            ssh: paastech_ssh_git_server::Config::default(),
            git_controller: paastech_git_controller::Config::default(),
            pomegranate: pomegranate::Config::default(),
            edge: EdgeConfig::default(),
        }
    }
}

impl Config {
    /// Merges defaults, file and environment, and puts every path into the data directory.
    ///
    /// # Errors
    /// An unreadable file, an unknown key, or a value of the wrong type.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut config: Self = config::load(file, &[])?;
        config.place();
        Ok(config)
    }

    fn place(&mut self) {
        let repositories = self.data_dir.join("repositories");
        self.api.data_dir.clone_from(&self.data_dir);
        self.api.domain.clone_from(&self.domain);
        self.api.admin_socket = Some(self.data_dir.join("admin.sock"));
        self.api.app_port = self.api.app_port.or(Some(self.edge.listen.port()));
        self.git_controller.root.clone_from(&repositories);
        self.ssh.repositories = repositories;
        self.ssh.state_dir = self.data_dir.join("ssh");
        self.pomegranate.state_dir = self.data_dir.join("pomegranate");
    }
}
