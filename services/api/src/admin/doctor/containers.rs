//! What runs against what should.

use std::collections::{HashMap, HashSet};

use paastech_proto::pomegranate::Container;

use super::{Facts, Finding};
use crate::store::desired;

const CHECK: &str = "apps";

pub(super) fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let (Ok(rows), Ok(engine)) = (&facts.database, &facts.engine) else { return Vec::new() };
    let mut of_release: HashMap<&str, Vec<&Container>> = HashMap::new();
    let mut found = Vec::new();
    for container in &engine.containers {
        of_release.entry(&container.release_id).or_default().push(container);
        if !rows.releases.contains_key(&container.release_id) {
            let what = format!("container {} is of a release that no project has", container.name);
            found.push(Finding::warning(
                CHECK,
                what,
                format!("remove it: `docker rm --force {}`", container.name),
            ));
        }
    }
    let changing: HashSet<&str> = rows.open.iter().map(|open| open.project_id.as_str()).collect();
    let settled = rows.projects.iter().filter(|project| !changing.contains(project.id.as_str()));
    found.extend(settled.filter_map(|project| drift(project, &of_release, &rows.releases)));
    if found.is_empty() { vec![Finding::ok(CHECK, "run as they should")] } else { found }
}

fn drift(
    project: &desired::Row,
    of_release: &HashMap<&str, Vec<&Container>>,
    releases: &HashMap<String, String>,
) -> Option<Finding> {
    let name = format!("project {} ({})", project.id, project.slug);
    let active = project.active_release_id.as_deref()?;
    let running = |release: &str| {
        of_release.get(release).is_some_and(|all| all.iter().any(|one| one.state == "running"))
    };
    if project.desired_state == "stopped" {
        let next = format!("stop it again: `paastech stop --project {}`", project.id);
        return running(active)
            .then(|| Finding::warning(CHECK, format!("{name} is stopped, but runs"), next));
    }
    if !running(active) {
        let next = format!("deploy it again: `paastech deploy --project {}`", project.id);
        return Some(Finding::error(CHECK, format!("{name} should run, but does not"), next));
    }
    let other = of_release.keys().find(|release| {
        **release != active && releases.get(**release) == Some(&project.id) && running(release)
    })?;
    let next = format!("the next deployment removes it: `paastech deploy --project {}`", project.id);
    Some(Finding::warning(CHECK, format!("{name} still runs its old release {other} too"), next))
}
