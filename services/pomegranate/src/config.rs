//! Configuration.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use paastech_runtime::{
    MetricsConfig, Secret, TlsConfig,
    telemetry::{LogConfig, TracingConfig},
};
use serde::{Deserialize, Serialize};

/// Everything that can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the separate process serves gRPC.
    pub listen: SocketAddr,
    /// The separate process's certificate; without one it listens on loopback only.
    pub tls: Option<TlsConfig>,
    /// The separate process's log.
    pub log: LogConfig,
    /// Where the separate process serves its metrics.
    pub metrics: MetricsConfig,
    /// Where its traces go.
    pub tracing: TracingConfig,
    /// The engine's Unix socket.
    pub socket: PathBuf,
    /// Fences and sources.
    pub state_dir: PathBuf,
    /// The sockets of engine gates, at a path that means the same to the engine; `gates` in the state folder when absent.
    pub gate_dir: Option<PathBuf>,
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
    /// Where built images are kept beside the engine; None = nowhere.
    pub registry: Option<RegistryConfig>,
}

/// A registry of images. With that of the installation each call brings a token; one elsewhere has credentials for us.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryConfig {
    /// How the engine reaches it, as images' names begin: `127.0.0.1:5000`, `registry.example.org`.
    pub address: String,
    /// What the repositories begin with: `<address>/<prefix>/<project>`. With the installation's registry the same as
    /// the api's `registry.prefix`, or its tokens open none of them.
    #[serde(default = "paastech_registry::default_prefix")]
    pub prefix: String,
    /// How we reach its HTTP API: `http://registry:5000`.
    pub url: String,
    /// Who we are there; empty: whoever the call's token says.
    #[serde(default)]
    pub username: String,
    /// Its password.
    #[serde(default)]
    pub password: Secret,
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
    /// Builds with buildpacks.
    pub buildpacks: BuildpackConfig,
}

/// Builds with buildpacks: their images, and what each may use.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BuildpackConfig {
    /// The builder of repositories that name none.
    pub builder: String,
    /// The image with upstream's lifecycle, for the phases that the engine trusts.
    pub lifecycle: String,
    /// Other builders that a repository may name; a name that ends in * means all that begin so.
    pub builders: Vec<String>,
    /// Variables of every build, such as the address of a package index.
    pub env: BTreeMap<String, String>,
    /// Memory of one phase, in MiB, without swap.
    pub memory_mib: u32,
    /// Thousandths of a core.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub pids: u32,
    /// What a build may write, in MiB; its project's cache is not counted.
    pub disk_mib: u64,
    /// What a project's caches may keep for its next build, in MiB; beyond it they are emptied.
    pub cache_mib: u64,
}

/// The proxy that `ConfirmRelease` and `RemoveRelease` ask; without addresses they only look at the containers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProxyConfig {
    /// Which one it is.
    pub kind: ProxyKind,
    /// Where it says what it routes: our edge its `/routes`, Traefik its `/api`.
    pub internal: Option<SocketAddr>,
    /// Where it takes requests.
    pub public: Option<SocketAddr>,
}

/// A proxy that follows the labels of containers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyKind {
    /// Ours.
    #[default]
    Edge,
    /// Traefik.
    Traefik,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 7002).into(),
            tls: None,
            log: LogConfig::default(),
            metrics: MetricsConfig::default(),
            tracing: TracingConfig::default(),
            socket: "/var/run/docker.sock".into(),
            state_dir: "/var/lib/paastech/pomegranate".into(),
            gate_dir: None,
            instance: String::new(),
            label_key_file: "/var/lib/paastech/secrets/label-hmac".into(),
            require_non_root: false,
            await_seconds: 60,
            grace_seconds: 30,
            limits: LimitsConfig::default(),
            build: BuildConfig::default(),
            proxy: ProxyConfig::default(),
            registry: None,
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
        Self {
            timeout_seconds: 900,
            log_bytes: 10 << 20,
            source_bytes: 512 << 20,
            concurrency: 2,
            buildpacks: BuildpackConfig::default(),
        }
    }
}

impl Default for BuildpackConfig {
    fn default() -> Self {
        let builders = ["paketobuildpacks/builder*", "heroku/builder*"];
        Self {
            builder: "paastech/builder:12".to_owned(),
            lifecycle: "paastech/lifecycle:12".to_owned(),
            builders: builders.map(str::to_owned).to_vec(),
            env: BTreeMap::new(),
            memory_mib: 2048,
            cpu_millis: 2000,
            pids: 2048,
            disk_mib: 4096,
            cache_mib: 2048,
        }
    }
}
