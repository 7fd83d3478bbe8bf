//! The database and its schema.

use super::{Facts, Finding};
use crate::admin::schema;

const CHECK: &str = "database";

pub(super) fn check(facts: &Facts<'_>) -> Finding {
    let rows = match &facts.database {
        Ok(rows) => rows,
        Err(why) => {
            return Finding::error(
                CHECK,
                why,
                "start it, and see whether `database` in the configuration is right",
            );
        }
    };
    match schema::objection(rows.schema) {
        None => Finding::ok(CHECK, format!("answers; {} projects", rows.projects.len())),
        Some((what, next)) => Finding::error(CHECK, what, next),
    }
}
