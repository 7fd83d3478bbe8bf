//! The configuration of each program, in each shape: quick, and small enough for its limits to be reached.

use std::{
    iter,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::{Context as _, Result};
use paastech_runtime::Peer;
use toml::{Table, toml};

use crate::platform::Place;

/// The largest pack that is taken.
pub(crate) const MAX_PUSH_BYTES: i64 = 8 << 20;
/// The part of a build's log that is kept: less than the engine itself lets through.
pub(crate) const BUILD_LOG_KIB: usize = 128;
/// The memory of an app.
pub(crate) const APP_MEMORY_MIB: i64 = 64;
/// How long an app may take until it answers.
pub(crate) const READY_SECONDS: i64 = 10;

/// The next row of ports: below those that the system gives to whoever asks for any.
static ROW: AtomicU16 = AtomicU16::new(20000);

/// Where everything listens, on loopback.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) api: SocketAddr,
    pub(crate) ssh: SocketAddr,
    pub(crate) edge: SocketAddr,
    /// Of the images, under docker-compose.
    pub(crate) registry: SocketAddr,
    edge_internal: SocketAddr,
    control: SocketAddr,
    git_controller: SocketAddr,
    pomegranate: SocketAddr,
    metrics: [SocketAddr; PROGRAMS.len()],
}

/// Whoever has metrics.
const PROGRAMS: [&str; 6] = [
    "paastechd",
    "paastech-api",
    "paastech-git-controller",
    "paastech-ssh-git-server",
    "pomegranate",
    "paastech-edge",
];

impl Ports {
    /// Those of an installation: six free ones in a row; the proxy behind a proxy has the two after the api's.
    pub(crate) fn in_a_row() -> Result<Self> {
        let port = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let is_free = |first: &u16| (*first..*first + 6).all(|at| TcpListener::bind(port(at)).is_ok());
        let mut rows = iter::repeat_with(|| ROW.fetch_add(6, Ordering::Relaxed)).take_while(|at| *at < 30000);
        let first = rows.find(is_free).context("no six ports in a row are free")?;
        let at = |more| port(first + more);
        let none = port(0);
        Ok(Self {
            edge: at(0),
            ssh: at(1),
            api: at(2),
            registry: at(5),
            edge_internal: none,
            control: none,
            git_controller: none,
            pomegranate: none,
            metrics: [none; PROGRAMS.len()],
        })
    }

    /// Free ones: all are held until all are known.
    pub(crate) fn free() -> Result<Self> {
        let held: Vec<TcpListener> =
            (0..7 + PROGRAMS.len()).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<_, _>>()?;
        let at = |index: usize| held[index].local_addr();
        let mut metrics = [at(0)?; PROGRAMS.len()];
        for (index, address) in metrics.iter_mut().enumerate() {
            *address = at(7 + index)?;
        }
        Ok(Self {
            api: at(0)?,
            ssh: at(1)?,
            edge: at(2)?,
            edge_internal: at(3)?,
            control: at(4)?,
            git_controller: at(5)?,
            pomegranate: at(6)?,
            registry: SocketAddr::from(([127, 0, 0, 1], 0)),
            metrics,
        })
    }

    /// Where a program serves its metrics.
    pub(crate) fn metrics(&self, program: &str) -> SocketAddr {
        let index = PROGRAMS.iter().position(|name| *name == program);
        self.metrics[index.expect("every program has metrics")]
    }

    /// The api's internal address.
    pub(crate) fn control_url(&self) -> String {
        url(self.control)
    }
}

fn url(address: SocketAddr) -> String {
    format!("https://{address}")
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// `paastechd` with everything in it.
pub(crate) fn daemon(place: &Place) -> Table {
    Table::new()
        .with("data_dir", text(&place.data))
        .with("stop_seconds", 10)
        .with("api", api_settings(place))
        .with("ssh", ssh_settings(place))
        .with("edge", edge_settings(place))
        .with("pomegranate", pomegranate_settings(place))
}

/// `paastechd`, which finds Pomegranate elsewhere.
pub(crate) fn daemon_without_pomegranate(place: &Place) -> Table {
    daemon(place)
        .with("api", api_settings(place).with("pomegranate", url(place.ports.pomegranate)))
        .with("tls", tls(place, Peer::Api))
}

trait With {
    fn with(self, key: &str, value: impl Into<toml::Value>) -> Self;
}

impl With for Table {
    fn with(mut self, key: &str, value: impl Into<toml::Value>) -> Self {
        self.insert(key.to_owned(), value.into());
        self
    }
}

/// The api alone.
pub(crate) fn api(place: &Place, database: &str) -> Table {
    api_settings(place)
        .with("database", database)
        .with("data_dir", text(&place.data))
        .with("secrets_dir", text(&place.secrets()))
        .with("admin_socket", text(&place.admin_socket))
        .with("app_port", i64::from(place.ports.edge.port()))
        .with("control_listen", place.ports.control.to_string())
        .with("git_controller", url(place.ports.git_controller))
        .with("pomegranate", url(place.ports.pomegranate))
        .with("tls", tls(place, Peer::Api))
}

/// A service's certificate.
fn tls(place: &Place, service: Peer) -> Table {
    Table::try_from(paastech_certs::files(&place.certificates, service)).expect("paths are TOML")
}

/// What an installation under docker-compose has of its own, over the tier's.
pub(crate) fn installation(roomy: bool) -> Table {
    Table::new()
        .with("api", Table::new().with("engine", engine(roomy)).with("quotas", quotas()))
        .with("ssh", Table::new().with("limits", ssh_limits()))
        .with("pomegranate", pomegranate_limits(roomy))
}

fn api_settings(place: &Place) -> Table {
    let ssh = place.ports.ssh;
    let git = Table::new().with("host", ssh.ip().to_string()).with("port", i64::from(ssh.port()));
    let table = toml! {
        sign_up = "open"

        [password]
        memory_kib = 256
        iterations = 1

        [limits]
        login = { burst = 100000, seconds = 1 }
        login_address = { burst = 100000, seconds = 1 }
        register = { burst = 100000, seconds = 1 }
        anonymous = { burst = 100000, seconds = 1 }
        account = { burst = 100000, seconds = 1 }
        deploy = { burst = 100000, seconds = 1 }

        [builds]
        dockerfile = "all"
        wait_seconds = 2
    };
    table
        .with("engine", engine(place.roomy))
        .with("listen", place.ports.api.to_string())
        .with("git", git)
        .with("quotas", quotas())
}

fn engine(roomy: bool) -> Table {
    let (deadline, build) = if roomy { (1200, 600) } else { (120, 60) };
    let engine = toml! {
        confirm_timeout_seconds = 15
        drain_seconds = 1
        stop_grace_seconds = 1
        ref_scan_seconds = 2
    };
    engine
        .with("operation_deadline_seconds", deadline)
        .with("build_timeout_seconds", build)
        .with("ready_timeout_seconds", if roomy { 60 } else { READY_SECONDS })
}

fn quotas() -> Table {
    Table::new().with("max_push_bytes", MAX_PUSH_BYTES)
}

/// The git-controller alone.
pub(crate) fn git_controller(place: &Place) -> Table {
    Table::new()
        .with("listen", place.ports.git_controller.to_string())
        .with("root", text(&place.repositories))
        .with("tls", tls(place, Peer::GitController))
}

/// The SSH server alone.
pub(crate) fn ssh(place: &Place) -> Table {
    ssh_settings(place)
        .with("repositories", text(&place.repositories))
        .with("state_dir", text(&place.data.join("ssh")))
        .with("tls", tls(place, Peer::SshGitServer))
}

fn ssh_limits() -> Table {
    toml! {
        connections_per_ip = 200
        logins_per_ip = 50
        unknown_keys_per_minute = 10000
        reconnect_seconds = 30
    }
}

fn ssh_settings(place: &Place) -> Table {
    let mut limits = ssh_limits();
    if place.min_free_mib > 0 {
        limits = limits.with("min_free_bytes", i64::from(place.min_free_mib) << 20);
    }
    Table::new().with("listen", place.ports.ssh.to_string()).with("limits", limits)
}

/// The proxy alone.
pub(crate) fn edge(place: &Place) -> Table {
    edge_settings(place).with("instance", place.instance.clone())
}

fn edge_settings(place: &Place) -> Table {
    Table::new()
        .with("listen", place.ports.edge.to_string())
        .with("internal_listen", place.ports.edge_internal.to_string())
        .with("socket", text(&place.engine_socket))
}

/// Pomegranate alone.
pub(crate) fn pomegranate(place: &Place) -> Table {
    let proxy = Table::new()
        .with("internal", place.ports.edge_internal.to_string())
        .with("public", place.ports.edge.to_string());
    pomegranate_settings(place)
        .with("listen", place.ports.pomegranate.to_string())
        .with("state_dir", text(&place.data.join("pomegranate")))
        .with("instance", place.instance.clone())
        .with("label_key_file", text(&place.secrets().join("label-hmac")))
        .with("proxy", proxy)
        .with("tls", tls(place, Peer::Pomegranate))
}

fn pomegranate_settings(place: &Place) -> Table {
    pomegranate_limits(place.roomy).with("socket", text(&place.engine_socket))
}

fn pomegranate_limits(roomy: bool) -> Table {
    Table::new()
        .with("limits", Table::new().with("memory_mib", if roomy { 512 } else { APP_MEMORY_MIB }))
        .with("build", Table::new().with("log_bytes", i64::try_from(BUILD_LOG_KIB << 10).expect("small")))
}

/// Where a program serves its metrics.
pub(crate) fn metrics(place: &Place, program: &str) -> Table {
    Table::new().with("listen", place.ports.metrics(program).to_string())
}
