//! The database and its schema.

use std::cmp::Ordering;

use super::{Facts, Finding};
use crate::service::MIGRATOR;

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
    let known = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
    let what = format!("its schema is {}, this program's {known}", rows.schema);
    match rows.schema.cmp(&known) {
        Ordering::Equal => Finding::ok(CHECK, format!("answers; {} projects", rows.projects.len())),
        Ordering::Less => {
            Finding::error(CHECK, what, "start the api of this version: it brings it up to date")
        }
        Ordering::Greater => Finding::error(CHECK, what, "use the programs of the version that made it"),
    }
}
