//! What the SSH server counts.

use std::sync::LazyLock;

use paastech_runtime::metrics::{Counter, Gauge, Labelled, labelled, single};

pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// See `docs/metrics.md`.
pub(crate) struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) sessions: Gauge,
    /// By outcome.
    pub(crate) logins: Labelled<Counter, 1>,
    /// By outcome.
    pub(crate) pushes: Labelled<Counter, 1>,
}

impl Metrics {
    fn new() -> Self {
        let logins = "SSH connections, by how their log-in ended";
        let pushes = "Pushes, by how they ended";
        let login_ends = ["accepted", "refused", "unavailable", "abandoned"];
        let push_ends =
            ["accepted", "deploy_failed", "rejected", "interrupted", "up_to_date", "failed", "refused"];
        Self {
            connections: single("ssh_connections", "SSH connections that are open", Gauge::default()),
            sessions: single("ssh_sessions", "SSH sessions that are open, logged in", Gauge::default()),
            logins: labelled("ssh_logins", logins, ["outcome"], Counter::default)
                .from_the_start(login_ends.map(|end| [end])),
            pushes: labelled("pushes", pushes, ["outcome"], Counter::default)
                .from_the_start(push_ends.map(|end| [end])),
        }
    }
}
