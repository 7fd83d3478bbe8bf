//! This host's clock against the database's.

use super::{Facts, Finding};

const CHECK: &str = "clock";
/// In milliseconds; asking takes some of them.
const ODD: u64 = 2_000;
const WRONG: u64 = 30_000;

pub(super) fn check(facts: &Facts<'_>) -> Finding {
    let Some(theirs) = facts.database.as_ref().ok().and_then(|rows| rows.clock) else {
        return Finding::ok(CHECK, "the database has none of its own");
    };
    let apart = facts.now.abs_diff(theirs);
    let what = format!("{} ms from the database's", apart);
    let next = "let both hosts follow a time server";
    match apart {
        ..ODD => Finding::ok(CHECK, what),
        ODD..WRONG => Finding::warning(CHECK, what, next),
        _ => Finding::error(CHECK, what, next),
    }
}
