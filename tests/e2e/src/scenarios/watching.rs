//! What an operator sees of a running installation from outside: its metrics.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Platform, Shape};

const PAGE: &str = include_str!("../../../../docs/metrics.md");

/// The label names of each metric.
type Metrics = BTreeMap<String, BTreeSet<String>>;

pub(super) async fn the_metrics_are_those_of_the_page(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, _) = developer.live(platform, "one").await;
    let mut seen: BTreeMap<&str, Metrics> = BTreeMap::new();
    for program in platform.programs_running().await {
        let url = format!("http://{}/metrics", platform.place.ports.metrics(program));
        let answer = reqwest::get(&url).await.expect("served");
        let text = answer.text().await.expect("a text");
        assert!(text.ends_with("# EOF\n"), "{text}");
        for private in [project.id.as_str(), developer.email.as_str(), "127.0.0.1", "localhost"] {
            assert!(!text.contains(private), "{program} tells {private}:\n{text}");
        }
        let service = program.trim_start_matches("paastech-");
        seen.insert(if service == "paastechd" { "all" } else { service }, exposed(&text));
    }
    match platform.shape {
        Shape::Services => {
            for (service, metrics) in seen {
                assert_eq!(metrics, documented(&|from| from.contains(&service)), "{service}");
            }
        }
        Shape::Embedded | Shape::PomegranateOutside => {
            let mut page = documented(&|_| true);
            page.remove("paastech_certificate_expiry_seconds").expect("documented");
            assert_eq!(seen["all"], page);
        }
    }
}

/// The page's metrics of whom `is_meant` says yes to.
fn documented(is_meant: &dyn Fn(&[&str]) -> bool) -> Metrics {
    let rows = PAGE.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let (name, labels) = cells.next()?.split_once('`')?;
        let from: Vec<&str> = cells.next()?.split(", ").collect();
        let labels = labels.trim_matches([' ', '[', ']']).split(", ").filter(|label| !label.is_empty());
        (from == ["all"] || is_meant(&from)).then(|| (name.to_owned(), labels.map(str::to_owned).collect()))
    });
    rows.collect()
}

/// The metrics of an answer.
fn exposed(text: &str) -> Metrics {
    let mut metrics = Metrics::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').expect("a name and a type");
            current = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
            metrics.insert(current.clone(), BTreeSet::new());
        } else if let Some((_, labels)) = line.split_once('{').filter(|_| !line.starts_with('#')) {
            let names = labels.split("=\"").filter_map(|part| part.rsplit([',', '{', '"']).next());
            let names = names.filter(|name| !name.is_empty() && *name != "le" && !name.contains('}'));
            metrics.get_mut(&current).expect("declared").extend(names.map(str::to_owned));
        }
    }
    metrics
}
