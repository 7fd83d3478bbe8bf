//! The configuration of one process: what all services share, and a section for each.

use std::path::PathBuf;

use paastech_edge::EdgeConfig;
use paastech_runtime::{
    MetricsConfig, Neighbour, TlsConfig,
    config::{self, ConfigError},
    telemetry::{LogConfig, TracingConfig},
};
use serde::{Deserialize, Serialize};

/// What an operator sets.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Database, repositories, keys, logs; what a section places itself lies elsewhere.
    pub data_dir: PathBuf,
    /// Apps are served at `<project>.user-app.<domain>`.
    pub domain: String,
    /// From the first signal to the cut.
    pub stop_seconds: u64,
    /// Also serve the internal gRPC of the services that run here, each at its section's `listen`.
    pub serve_neighbours: bool,
    /// The api's certificate, with which services elsewhere are called and these are served; the sections have none.
    pub tls: Option<TlsConfig>,
    /// The log.
    pub log: LogConfig,
    /// Where the metrics of all services here are served.
    pub metrics: MetricsConfig,
    /// Where the traces go.
    pub tracing: TracingConfig,
    /// The HTTP API. Its `git_controller` and `pomegranate` say where those are: `in-process` or a URL.
    pub api: paastech_api::Config,
    /// The SSH server. Its `control` says where the api's internal side is.
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
            tls: None,
            log: LogConfig::default(),
            metrics: MetricsConfig::default(),
            tracing: TracingConfig::default(),
            api: paastech_api::Config::default(),
            ssh: paastech_ssh_git_server::Config::default(),
            git_controller: paastech_git_controller::Config::default(),
            pomegranate: pomegranate::Config::default(),
            edge: EdgeConfig::default(),
        }
    }
}

impl Config {
    /// Merges defaults, files and environment. Paths that nobody sets lie in the data directory.
    ///
    /// # Errors
    /// An unreadable file, an unknown key, a value of the wrong type, or a key without a meaning here.
    pub fn load(files: &[PathBuf]) -> Result<Self, ConfigError> {
        let shared: Self = config::load(files, &[])?;
        let config: Self = config::load_over(&shared.defaults(), files, &[])?;
        match config.objection() {
            Some(why) => Err(ConfigError::Meaningless(why)),
            None => Ok(config),
        }
    }

    /// What the sections have from what all of them share.
    fn defaults(&self) -> [(&'static str, String); 8] {
        let within = |name: &str| self.data_dir.join(name).display().to_string();
        [
            ("api.data_dir", self.data_dir.display().to_string()),
            ("api.domain", self.domain.clone()),
            ("api.admin_socket", within("admin.sock")),
            ("api.app_port", self.edge.listen.port().to_string()),
            ("git_controller.root", within("repositories")),
            ("ssh.repositories", within("repositories")),
            ("ssh.state_dir", within("ssh")),
            ("pomegranate.state_dir", within("pomegranate")),
        ]
    }

    /// What an operator has set that would change nothing, or that cannot work.
    fn objection(&self) -> Option<String> {
        if let Some(why) = self.api.objection() {
            return Some(format!("api.{why}"));
        }
        let logs = [
            ("api.log", &self.api.log),
            ("ssh.log", &self.ssh.log),
            ("git_controller.log", &self.git_controller.log),
            ("pomegranate.log", &self.pomegranate.log),
        ];
        if let Some((key, _)) = logs.iter().find(|(_, log)| **log != LogConfig::default()) {
            return Some(format!("{key}: this process has one log: set `log`"));
        }
        let metrics = [
            ("api.metrics", &self.api.metrics),
            ("ssh.metrics", &self.ssh.metrics),
            ("git_controller.metrics", &self.git_controller.metrics),
            ("pomegranate.metrics", &self.pomegranate.metrics),
            ("edge.metrics", &self.edge.metrics),
        ];
        if let Some((key, _)) = metrics.iter().find(|(_, metrics)| **metrics != MetricsConfig::default()) {
            return Some(format!("{key}: this process has one address for metrics: set `metrics`"));
        }
        let traces = [
            ("api.tracing", &self.api.tracing),
            ("ssh.tracing", &self.ssh.tracing),
            ("git_controller.tracing", &self.git_controller.tracing),
            ("pomegranate.tracing", &self.pomegranate.tracing),
        ];
        if let Some((key, _)) = traces.iter().find(|(_, tracing)| **tracing != TracingConfig::default()) {
            return Some(format!("{key}: this process has one collector: set `tracing`"));
        }
        let certificates = [
            ("api.tls", &self.api.tls),
            ("ssh.tls", &self.ssh.tls),
            ("git_controller.tls", &self.git_controller.tls),
            ("pomegranate.tls", &self.pomegranate.tls),
        ];
        if let Some((key, _)) = certificates.iter().find(|(_, tls)| tls.is_some()) {
            return Some(format!("{key}: this process has one certificate: set `tls`"));
        }
        let pomegranate = pomegranate::Config::default();
        let made = [
            ("edge.instance", self.edge.instance == EdgeConfig::default().instance),
            ("pomegranate.instance", self.pomegranate.instance == pomegranate.instance),
            ("pomegranate.label_key_file", self.pomegranate.label_key_file == pomegranate.label_key_file),
        ];
        if let Some((key, _)) = made.iter().find(|(_, unset)| !unset) {
            return Some(format!("{key}: this process takes it from its folder of secrets"));
        }
        let shared = self.ssh.repositories == self.git_controller.root;
        if self.api.git_controller == Neighbour::InProcess && !shared {
            return Some("ssh.repositories and git_controller.root must be the same directory".to_owned());
        }
        None
    }
}
