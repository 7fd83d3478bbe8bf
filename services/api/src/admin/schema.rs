//! Whether a database's schema is this program's.

use std::cmp::Ordering;

use crate::service;

/// What is wrong with a schema of this number, and what to do about it.
pub(super) fn objection(found: i64) -> Option<(String, &'static str)> {
    let known = service::newest_schema();
    let next = match found.cmp(&known) {
        Ordering::Equal => return None,
        Ordering::Less => "start the api of this version: it brings it up to date",
        Ordering::Greater => "use the programs of the version that made it",
    };
    Some((format!("its schema is {found}, this program's {known}"), next))
}
