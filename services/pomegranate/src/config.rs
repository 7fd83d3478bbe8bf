//! Configuration.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use paastech_runtime::telemetry::LogConfig;
use serde::{Deserialize, Serialize};

/// Everything that can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the separate process serves gRPC.
    pub listen: SocketAddr,
    /// The separate process's log.
    pub log: LogConfig,
    /// The engine's Unix socket.
    pub socket: PathBuf,
    /// Fences and sources.
    pub state_dir: PathBuf,
    /// The installation id that labels every object: 1 to 64 letters, digits and hyphens.
    pub instance: String,
    /// The file with the key that signs labels, 64 hex digits; read by the separate process only.
    pub label_key_file: PathBuf,
    /// Refuse images whose user is root or only a name.
    pub require_non_root: bool,
    /// Seconds that `AwaitRelease` waits when the call does not say.
    pub await_seconds: u32,
    /// Seconds between SIGTERM and SIGKILL when the call does not say.
    pub grace_seconds: u32,
    /// What a container gets when the call does not say.
    pub limits: LimitsConfig,
    /// Builds.
    pub build: BuildConfig,
    /// The proxy that is asked what it routes.
    pub proxy: ProxyConfig,
}

/// What a container gets when the call does not say.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Memory, in MiB, without swap.
    pub memory_mib: u32,
    /// Thousandths of a core.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub pids: u32,
}

/// Limits of builds. Their memory is bounded for all of them together, on the engine's cgroup for BuildKit, by whoever
/// may write there: the privileged step of the installation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BuildConfig {
    /// The longest a build may take, unless the call says less or more.
    pub timeout_seconds: u32,
    /// Bytes of log that are kept.
    pub log_bytes: usize,
    /// Bytes of a source tree.
    pub source_bytes: u64,
    /// Builds at a time; the others wait.
    pub concurrency: usize,
}

/// The proxy that `ConfirmRelease` and `RemoveRelease` ask; without addresses they only look at the containers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProxyConfig {
    /// Where it says what it routes: `GET http://<internal>/routes?host=…`.
    pub internal: Option<SocketAddr>,
    /// Where it takes requests.
    pub public: Option<SocketAddr>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 7002).into(),
            log: LogConfig::default(),
            socket: "/var/run/docker.sock".into(),
            state_dir: "/var/lib/paastech/pomegranate".into(),
            instance: String::new(),
            label_key_file: "/var/lib/paastech/secrets/label-hmac".into(),
            require_non_root: false,
            await_seconds: 60,
            grace_seconds: 30,
            limits: LimitsConfig::default(),
            build: BuildConfig::default(),
            proxy: ProxyConfig::default(),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { memory_mib: 512, cpu_millis: 1000, pids: 256 }
    }
}

impl Default for BuildConfig {
    fn default() -> Self {
        Self { timeout_seconds: 900, log_bytes: 10 << 20, source_bytes: 512 << 20, concurrency: 2 }
    }
}
