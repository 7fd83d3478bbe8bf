//! What the edge counts.

use std::sync::LazyLock;

use http::StatusCode;
use paastech_runtime::metrics::{Counter, Gauge, Labelled, labelled, single};

pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// See `docs/metrics.md`.
pub(crate) struct Metrics {
    requests: Labelled<Counter, 1>,
    pub(crate) routes: Gauge,
}

impl Metrics {
    fn new() -> Self {
        let requests = "Requests for apps and the api that were answered, by class of status";
        Self {
            requests: labelled("edge_requests", requests, ["status"], Counter::default)
                .from_the_start(CLASSES.map(|class| [class])),
            routes: single(
                "edge_routes",
                "Host names that are routed to an app or the api",
                Gauge::default(),
            ),
        }
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, status: StatusCode) {
        // What an app answers beyond these is no class.
        let class = CLASSES.get(usize::from(status.as_u16() / 100).wrapping_sub(1)).unwrap_or(&"other");
        self.requests.with([*class]).inc();
    }
}
