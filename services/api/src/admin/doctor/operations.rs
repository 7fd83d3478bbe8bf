//! Operations that nobody carries on.

use super::{Facts, Finding};

const CHECK: &str = "operations";
/// A lease lasts seconds; whoever claims next does so within one.
const LONG_MS: i64 = 5 * 60 * 1000;

pub(super) fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let Ok(rows) = &facts.database else { return Vec::new() };
    let now = rows.clocks.map_or(facts.now, |(theirs, _)| theirs);
    // One that is queued may well wait for another, or for a worker.
    let stuck = rows.open.iter().filter(|open| open.state != "queued" && open.due_since() < now - LONG_MS);
    let found: Vec<Finding> = stuck
        .map(|open| {
            let what = format!(
                "{} {} of project {} is {} and nobody works on it",
                open.kind, open.id, open.project_id, open.state
            );
            Finding::error(CHECK, what, format!("see the api's log; `paastech cancel {}` ends it", open.id))
        })
        .collect();
    if found.is_empty() { vec![Finding::ok(CHECK, format!("{} under way", rows.open.len()))] } else { found }
}
