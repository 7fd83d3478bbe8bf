//! What Pomegranate counts.

use std::sync::LazyLock;

use paastech_proto::pomegranate::{BuildOutcome, BuildResult};
use paastech_runtime::metrics::{Counter, Gauge, Histogram, Labelled, labelled, single, work_seconds};

pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// See `docs/metrics.md`.
pub(crate) struct Metrics {
    pub(crate) builds_waiting: Gauge,
    pub(crate) builds_running: Gauge,
    /// By outcome.
    pub(crate) builds: Labelled<Counter, 1>,
    pub(crate) build_duration: Histogram,
}

impl Metrics {
    fn new() -> Self {
        let waiting = "Builds that wait for their turn";
        let duration = "Time of a build from its turn to its end";
        let outcomes =
            ["succeeded", "failed", "timed_out", "cancelled", "unavailable", "internal", "interrupted"];
        Self {
            builds_waiting: single("builds_waiting", waiting, Gauge::default()),
            builds_running: single("builds_running", "Builds that have their turn", Gauge::default()),
            builds: labelled("builds", "Builds that have ended, by outcome", ["outcome"], Counter::default)
                .from_the_start(outcomes.map(|outcome| [outcome])),
            build_duration: single("build_duration_seconds", duration, work_seconds()),
        }
    }
}

/// Counts a build that has ended; `None`: the engine went away, and it will be run again.
pub(crate) fn count_build(result: Option<&BuildResult>) {
    let outcome = match result.map(BuildResult::outcome) {
        None => "interrupted",
        Some(BuildOutcome::Succeeded) => "succeeded",
        Some(BuildOutcome::Failed) => "failed",
        Some(BuildOutcome::TimedOut) => "timed_out",
        Some(BuildOutcome::Cancelled) => "cancelled",
        Some(BuildOutcome::Unavailable) => "unavailable",
        Some(BuildOutcome::Internal | BuildOutcome::Unspecified) => "internal",
    };
    METRICS.builds.with([outcome]).inc();
}
