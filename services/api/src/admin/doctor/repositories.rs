//! Repositories and projects that belong together.

use std::collections::HashSet;

use super::{Facts, Finding};

const CHECK: &str = "repositories";

pub(super) fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let (Ok(rows), Ok(held)) = (&facts.database, &facts.repositories) else { return Vec::new() };
    let projects: HashSet<&str> = rows.projects.iter().map(|project| project.id.as_str()).collect();
    let known: HashSet<&str> = held.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    for id in known.difference(&projects) {
        let next = format!("if no project is to have it, remove {id}.git from the repositories' folder");
        found.push(Finding::warning(CHECK, format!("{id}.git belongs to no project"), next));
    }
    for project in rows.projects.iter().filter(|project| !known.contains(project.id.as_str())) {
        let what = format!("project {} ({}) has no repository", project.id, project.slug);
        let next = if project.head_oid.is_some() {
            "restore a backup, or delete the project and push it anew"
        } else {
            "restart the api: it makes an empty one"
        };
        found.push(Finding::error(CHECK, what, next));
    }
    found.sort_by(|a, b| a.what.cmp(&b.what));
    if found.is_empty() { vec![Finding::ok(CHECK, "one for each project")] } else { found }
}
