//! What an operator sees of a running installation from outside: its metrics and its traces.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{Platform, Shape, Source, api::PASSWORD, collector::Span, eventually};

const PAGE: &str = include_str!("../../../../docs/metrics.md");

/// The label names of each metric.
type Metrics = BTreeMap<String, BTreeSet<String>>;

/// What one push has counted.
const COUNTED: [&str; 7] = [
    "paastech_pushes_total{outcome=\"accepted\"} 1",
    "paastech_ssh_logins_total{outcome=\"accepted\"} 1",
    "paastech_builds_total{outcome=\"succeeded\"} 1",
    "paastech_build_duration_seconds_count 1",
    "paastech_operations_ended_total{kind=\"build\",end=\"done\"} 1",
    "paastech_operations_ended_total{kind=\"deploy\",end=\"done\"} 1",
    "paastech_edge_routes 1",
];

pub(super) async fn the_metrics_are_those_of_the_page(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, _) = developer.live(platform, "one").await;
    let mut seen: BTreeMap<&str, Metrics> = BTreeMap::new();
    let mut all = String::new();
    for program in platform.programs_running().await {
        let url = format!("http://{}/metrics", platform.place.ports.metrics(program));
        let answer = reqwest::get(&url).await.expect("served");
        let text = answer.text().await.expect("a text");
        assert!(text.ends_with("# EOF\n"), "{text}");
        for private in [project.id.as_str(), developer.email.as_str(), "127.0.0.1", "localhost"] {
            assert!(!text.contains(private), "{program} tells {private}:\n{text}");
        }
        all.push_str(&text);
        let service = program.trim_start_matches("paastech-");
        seen.insert(if service == "paastechd" { "all" } else { service }, exposed(&text));
    }
    for counted in COUNTED {
        assert!(all.lines().any(|line| line == counted), "{counted}:\n{all}");
    }
    match platform.shape {
        Shape::Services => {
            let expiry =
                all.lines().find_map(|line| line.strip_prefix("paastech_certificate_expiry_seconds "));
            let expiry: u64 = expiry.and_then(|value| value.parse().ok()).expect("a number");
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
            assert!(expiry > now + 24 * 3600, "a new certificate lasts longer: {expiry}");
            for (service, metrics) in seen {
                assert_eq!(metrics, documented(&|from| from.contains(&service)), "{service}");
            }
        }
        _ => {
            let mut page = documented(&|_| true);
            page.remove("paastech_certificate_expiry_seconds").expect("documented");
            assert_eq!(seen["all"], page);
        }
    }
}

/// Whose spans a push leaves, at least.
const OF_A_PUSH: [(&str, &str); 7] = [
    ("paastech-ssh-git-server", "ssh"),
    ("paastech-ssh-git-server", "hook"),
    ("paastech-api", "rpc"),
    ("paastech-api", "operation"),
    ("paastech-git-controller", "rpc"),
    ("pomegranate", "rpc"),
    ("pomegranate", "build"),
];

pub(super) async fn one_trace_follows_a_push_through_every_service(platform: &Platform) {
    let collector = platform.collector.as_ref().expect("this installation is traced");
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    let spans = eventually("a whole trace of the push", 30, async || whole_trace(&collector.spans())).await;
    assert_eq!(spans.iter().filter(|span| span.parent.is_empty()).count(), 1, "one beginning: {spans:?}");
    let told: String = collector.spans().iter().map(|span| format!("{:?}", span.attributes)).collect();
    let directory = platform.directory().to_string_lossy().into_owned();
    for private in [PASSWORD, &directory, &developer.email] {
        assert!(!told.contains(private), "a span tells {private}");
    }

    collector.fall_silent();
    repository.commit(&Source::greeting("two")).await;
    repository.push(&project).await.succeeded();
    project.serves("two").await;
    const LOST: &str = "the collector does not take traces";
    eventually("a line about lost traces", 30, async || {
        platform.whole_log().await.contains(LOST).then_some(())
    })
    .await;
    repository.commit(&Source::greeting("three")).await;
    repository.push(&project).await.succeeded();
    let lines = platform.whole_log().await.matches(LOST).count();
    assert!(lines <= platform.programs_running().await.len(), "one line of each program, not {lines}");
}

/// The push's trace, once all of it has arrived.
fn whole_trace(spans: &[Span]) -> Option<Vec<Span>> {
    let hook = spans.iter().find(|span| span.name == "hook")?;
    let trace: Vec<Span> = spans.iter().filter(|span| span.trace == hook.trace).cloned().collect();
    let ids: BTreeSet<&[u8]> = trace.iter().map(|span| &*span.id).collect();
    let connected = trace.iter().all(|span| span.parent.is_empty() || ids.contains(&*span.parent));
    let seen: BTreeSet<(&str, &str)> =
        trace.iter().map(|span| (span.service.as_str(), span.name.as_str())).collect();
    (connected && OF_A_PUSH.iter().all(|wanted| seen.contains(wanted))).then_some(trace)
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
