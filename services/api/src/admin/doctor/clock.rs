//! This host's clock against the database's.

use super::{Facts, Finding};

const CHECK: &str = "clock";
/// In milliseconds; asking takes some of them.
const ODD: u64 = 2_000;
const WRONG: u64 = 30_000;

pub(super) fn check(facts: &Facts<'_>) -> Option<Finding> {
    let Some((theirs, ours)) = facts.database.as_ref().ok()?.clocks else {
        return Some(Finding::ok(CHECK, "the database has none of its own"));
    };
    let apart = ours.abs_diff(theirs);
    let what = format!("{apart} ms from the database's");
    let next = "let both hosts follow a time server";
    Some(match apart {
        ..ODD => Finding::ok(CHECK, what),
        ODD..WRONG => Finding::warning(CHECK, what, next),
        _ => Finding::error(CHECK, what, next),
    })
}
