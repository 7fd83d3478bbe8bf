//! What holds of an installation under docker-compose.

use std::fs;

use serde_json::json;

use crate::{Platform, Source, eventually};

/// Dials each of these and says which answered.
const DIALLER: &str = "
import socket, sys
for target in sys.argv[1:]:
    host, port = target.rsplit(':', 1)
    try:
        socket.create_connection((host, int(port)), 2).close()
        print(target)
    except OSError:
        pass
";

/// Where each service listens.
const ALL: [&str; 6] = [
    "postgres:5432",
    "git-controller:7001",
    "pomegranate:7002",
    "api:7003",
    "api:7080",
    "ssh-git-server:2222",
];

/// Who reaches whom. That a certificate is no other's is tried elsewhere.
const REACHES: [(&str, &[&str]); 6] = [
    (
        "api",
        &[
            "postgres:5432",
            "git-controller:7001",
            "pomegranate:7002",
            "api:7003",
            "api:7080",
            "ssh-git-server:2222",
        ],
    ),
    ("ssh-git-server", &["api:7003", "api:7080", "ssh-git-server:2222"]),
    ("git-controller", &["git-controller:7001", "api:7003", "api:7080"]),
    ("pomegranate", &["pomegranate:7002", "api:7003", "api:7080"]),
    ("postgres", &["postgres:5432", "api:7003", "api:7080"]),
    ("engine-gate", &[]),
];

pub(super) async fn each_service_reaches_its_neighbours_alone(platform: &Platform) {
    for (service, expected) in REACHES {
        let words = [&["python3", "-c", DIALLER][..], &ALL].concat();
        let reached = platform.installation().exec(service, &words).await.expect("Python is in the image");
        assert_eq!(reached.lines().collect::<Vec<_>>(), expected, "{service}");
    }
}

pub(super) async fn a_value_that_is_missing_is_named(platform: &Platform) {
    let installation = platform.installation();
    let whole = fs::read_to_string(installation.dir().join(".env")).expect("it was written");
    for name in ["PAASTECH_DIR", "PAASTECH_TIER", "PAASTECH_NETWORK", "PAASTECH_API_PORT"] {
        let without: String =
            whole.lines().filter(|line| !line.starts_with(name)).map(|line| format!("{line}\n")).collect();
        let file = platform.directory().join("cut.env");
        fs::write(&file, without).expect("written");
        let mut compose = installation.compose();
        // The later one wins.
        let output = compose.arg("--env-file").arg(&file).arg("config").output().await.expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(name), "{name}: {text}");
    }
}

pub(super) async fn an_upgrade_in_the_middle_of_a_push_loses_nothing(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "old").await;
    let load = project.site.load(2);
    repository.commit(&Source::built_slowly(6, "new")).await;
    let push = repository.start_push(&project, &["main"]);
    push.says("Compiling slow").await;
    platform.installation().upgrade("test-next").await.expect("installs over it");
    platform.ready().await.expect("ready again");
    // Its connection ends with the SSH server that it was made to.
    let pushed = push.end().await.code == Some(0);
    project.settled(120).await;
    let failures = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
    if !pushed {
        project.serves("old").await;
        repository.push(&project).await.succeeded();
    }
    project.serves("new").await;
}

pub(super) async fn twenty_redeployments_lose_no_request(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, _repository) = developer.live(platform, "one").await;
    let releases = project.api.get(&project.path("/releases")).await.ok();
    let release = releases["items"][0]["id"].clone();
    // Each request takes 100 ms: a hundred a second.
    let load = project.site.load(10);
    for _ in 0..20 {
        let accepted =
            project.api.post(&project.path("/deployments"), json!({ "release": release })).await.ok();
        project.done(&accepted).await;
    }
    let ended = load.ended();
    let failures = load.stop().await;
    assert!(
        failures.is_empty(),
        "{} of {ended} failed: {:?}",
        failures.len(),
        &failures[..3.min(failures.len())]
    );
    assert!(ended > 20 * 20, "{ended} requests are no load");
}

pub(super) async fn the_proxy_finds_its_routes_with_nothing_of_ours_alive(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, _repository) = developer.live(platform, "one").await;
    for program in ["api", "pomegranate", "ssh-git-server", "git-controller", "postgres"] {
        platform.kill(program).await;
    }
    platform.kill("paastech-edge").await;
    platform.start_again("paastech-edge").await;
    project.comes_to_serve("one", 10).await;
    let load = project.site.load(2);
    let before = load.ended();
    eventually("visitors come", 10, || async { (load.ended() > before + 20).then_some(()) }).await;
    let failures = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
}
