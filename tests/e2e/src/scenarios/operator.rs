//! What the operator of an installation meets.

use std::{fs, path::Path};

use reqwest::{StatusCode, header::RETRY_AFTER};
use serde_json::json;

use crate::{Platform, Source, binaries, push::capture};

pub(super) async fn root_needs_no_log_in_on_the_host(platform: &Platform) {
    let developer = platform.developer().await;
    let socket = platform.place.admin_socket();
    let socket = socket.to_str().expect("a path of ours is text");
    let who = developer.paastech(None, &["whoami", "--socket", socket, "--json"], "").await.succeeded();
    assert!(who.contains("administrator"), "{who}");
    let mode =
        fs::metadata(socket).map(|found| std::os::unix::fs::PermissionsExt::mode(&found.permissions()));
    assert_eq!(mode.expect("the socket is there") & 0o077, 0, "nobody else may even connect");
}

pub(super) async fn a_second_daemon_on_the_same_data_is_refused(platform: &Platform) {
    let mut second = platform.command(binaries::find("paastechd").expect("the daemon is built"));
    second.arg("--config").arg(platform.directory().join("paastechd.toml"));
    let text = capture(second).await.failed();
    assert!(text.contains("another paastechd already uses the data directory"), "{text}");
    platform.ready().await.expect("the first one goes on");
}

pub(super) async fn without_an_engine_everything_else_works_and_says_so(platform: &Platform) {
    let ready = platform.api.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE, "{}", ready.body);
    assert!(ready.headers.contains_key(RETRY_AFTER));
    let developer = platform.developer().await;
    let project = developer.project(platform).await;
    let repository = developer.repository(&Source::greeting("never")).await;
    let text = repository.push(&project).await.failed();
    assert!(text.contains("the container engine does not answer"), "{text}");
    assert_eq!(repository.remote_ref(&project, "refs/heads/main").await, None);
    let status = project.api.get(&project.path("/status")).await;
    assert_eq!(status.status, StatusCode::SERVICE_UNAVAILABLE, "{}", status.body);
    assert!(!status.detail().is_empty() && status.headers.contains_key(RETRY_AFTER));
}

pub(super) async fn a_full_disk_refuses_pushes_and_loses_nothing(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    let filler = platform.place.data.join("filler");
    fill(&filler);
    repository.commit(&Source::greeting("two")).await;
    let text = repository.push(&project).await.failed();
    assert!(text.contains("disk is full"), "{text}");
    let set = json!({ "set": { "A": { "value": "x".repeat(10_000), "kind": "plain" } }, "unset": [] });
    let change = project.api.patch(&project.path("/variables"), set).await;
    assert_ne!(change.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", change.body);
    project.serves("one").await;
    fs::remove_file(&filler).expect("the filler is ours");
    project.settled(60).await;
    repository.push(&project).await.succeeded();
    project.serves("two").await;
}

/// Writes until there is no room for a byte more.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(path).expect("there is room for a name");
    for size in [1 << 20, 4096, 1] {
        let block = vec![0; size];
        while file.write_all(&block).is_ok() {}
    }
}
