//! What the gates count.

use std::sync::LazyLock;

use http::StatusCode;
use paastech_runtime::metrics::{Counter, Labelled, labelled};

static REQUESTS: LazyLock<Labelled<Counter, 2>> = LazyLock::new(|| {
    let help = "Requests to engine gates, by whom the gate is for and what became of them";
    let gates = ["build", "proxy"];
    labelled("engine_gate_requests", help, ["gate", "outcome"], Counter::default).from_the_start(
        gates.into_iter().flat_map(|gate| ["passed", "refused", "failed"].map(|outcome| [gate, outcome])),
    )
});

/// Counts an answer of a gate for `gate`: `build` or `proxy`.
pub(crate) fn count(gate: &'static str, status: StatusCode) {
    let outcome = match status {
        StatusCode::FORBIDDEN => "refused",
        StatusCode::BAD_GATEWAY => "failed",
        _ => "passed",
    };
    REQUESTS.with([gate, outcome]).inc();
}

/// Shows zeros from the start.
pub fn register() {
    LazyLock::force(&REQUESTS);
}
