//! What the api counts.

use std::{sync::LazyLock, time::Duration};

use paastech_db::DbError;
use paastech_runtime::{
    Shutdown,
    metrics::{Counter, Gauge, Histogram, Labelled, call_seconds, labelled, single, work_seconds},
};

use crate::{
    app::App,
    store::operation::{self, End, Kind},
};

/// How often what only the database knows is asked for.
const REFRESH: Duration = Duration::from_secs(15);
const OPEN: [&str; 3] = ["queued", "running", "undoing"];

pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// See `docs/metrics.md`.
pub(crate) struct Metrics {
    /// By method, route and status.
    pub(crate) requests: Labelled<Counter, 3>,
    /// By method and route.
    pub(crate) request_durations: Labelled<Histogram, 2>,
    /// By kind and end.
    pub(crate) operations_ended: Labelled<Counter, 2>,
    /// By kind and step.
    pub(crate) step_durations: Labelled<Histogram, 2>,
    operations: Labelled<Gauge, 2>,
    connections: Labelled<Gauge, 1>,
    connections_most: Gauge,
}

impl Metrics {
    fn new() -> Self {
        let requests = "HTTP requests answered, by method, route and status";
        let request_durations = "Time from an HTTP request to the head of its answer";
        let ended = "Operations that have ended in this process, by kind and end";
        let steps = "Time that operations took for a step, its tries and pauses included";
        let operations = "Operations that have not ended, by kind and state";
        let connections = "Open database connections of this process, by state";
        let most = "The most database connections that this process opens";
        let kinds = || Kind::ALL.map(Kind::name).into_iter();
        let ends = kinds().flat_map(|kind| End::ALL.map(|end| [kind, end.name()]));
        let open = kinds().flat_map(|kind| OPEN.map(|state| [kind, state]));
        Self {
            requests: labelled("http_requests", requests, ["method", "route", "status"], Counter::default),
            request_durations: labelled(
                "http_request_duration_seconds",
                request_durations,
                ["method", "route"],
                call_seconds,
            ),
            operations_ended: labelled("operations_ended", ended, ["kind", "end"], Counter::default)
                .from_the_start(ends),
            step_durations: labelled(
                "operation_step_duration_seconds",
                steps,
                ["kind", "step"],
                work_seconds,
            ),
            operations: labelled("operations", operations, ["kind", "state"], Gauge::default)
                .from_the_start(open),
            connections: labelled("database_connections", connections, ["state"], Gauge::default),
            connections_most: single("database_connections_max", most, Gauge::default()),
        }
    }
}

/// Counts an operation that has ended; one that nobody had claimed, before its end is committed with what ends it.
pub(crate) fn count_end(kind: &str, end: End) {
    METRICS.operations_ended.with([kind.to_owned(), end.name().to_owned()]).inc();
}

/// Keeps up with the database until the drain.
pub(crate) async fn refresh(app: App, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(REFRESH);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = shutdown.draining() => return Ok(()),
        }
        let connections = app.db.connections();
        METRICS.connections.with(["idle"]).set(connections.idle.into());
        METRICS.connections.with(["used"]).set(connections.used.into());
        METRICS.connections_most.set(connections.most.into());
        if let Err(error) = count_operations(&app).await {
            tracing::warn!(%error, "operations cannot be counted; it is tried again");
        }
    }
}

async fn count_operations(app: &App) -> Result<(), DbError> {
    let mut tx = app.db.read().await?;
    let counts = operation::count_open(&mut tx).await?;
    for kind in Kind::ALL.map(Kind::name) {
        for state in OPEN {
            let found = counts.iter().find(|count| count.kind == kind && count.state == state);
            METRICS.operations.with([kind, state]).set(found.map_or(0, |count| count.number));
        }
    }
    Ok(())
}
