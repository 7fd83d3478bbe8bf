//! What a push does when nothing is wrong with it.

use std::fs;

use reqwest::StatusCode;
use serde_json::json;

use crate::{Dockerfile, Platform, Source, eventually, push::capture};

pub(super) async fn a_push_becomes_a_url(platform: &Platform) {
    let developer = platform.developer().await;
    let project = developer.project(platform).await;
    assert_eq!(
        project.visit().await.status,
        StatusCode::NOT_FOUND,
        "nothing is routed before the first push"
    );
    let repository = developer.repository(&Source::greeting("Hello, world")).await;
    let text = repository.push(&project).await.succeeded();
    assert!(text.contains("remote: "), "{text}");
    assert!(text.contains(&format!("live at {}", project.url)), "{text}");
    project.serves("Hello, world").await;
    let head = repository.head().await;
    assert_eq!(repository.remote_ref(&project, "refs/heads/main").await, Some(head));
}

pub(super) async fn curl_fetches_an_app_as_the_readme_says(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, _repository) = developer.live(platform, "Hello, curl").await;
    let edge = platform.place.ports.edge;
    let mut curl = developer.command("curl");
    curl.args(["--silent", "--resolve", &format!("*:{}:{}", edge.port(), edge.ip()), &project.url]);
    assert_eq!(capture(curl).await.succeeded(), "Hello, curl");
}

pub(super) async fn the_sample_is_served_from_the_base_image(platform: &Platform) {
    let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/hello");
    let read = |name: &str| fs::read(sample.join(name)).expect("the sample is in the checkout");
    let source = Source::empty().with("Dockerfile", read("Dockerfile")).with("app.py", read("app.py"));
    let developer = platform.developer().await;
    let project = developer.project(platform).await;
    developer.repository(&source).await.push(&project).await.succeeded();
    let page = project.visit().await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("Hello from PaaSTech!"), "{}", page.body);
}

pub(super) async fn a_second_push_moves_traffic_and_no_request_fails(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    let load = project.site.load(6);
    eventually("there is traffic", 10, || async { (load.ended() > 20).then_some(()) }).await;
    repository.commit(&Source::greeting("two")).await;
    repository.push(&project).await.succeeded();
    project.serves("two").await;
    let before = load.ended();
    eventually("there is still traffic", 10, || async { (load.ended() > before + 20).then_some(()) }).await;
    let failures = load.stop().await;
    assert!(failures.is_empty(), "{} failed: {:?}", failures.len(), failures.first());
}

pub(super) async fn another_branch_is_stored_and_says_so(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    repository.git(&["switch", "--quiet", "--create", "other"]).await.succeeded();
    let head = repository.commit(&Source::greeting("two")).await;
    let text = repository.push_ref(&project, &["other"]).await.succeeded();
    assert!(text.contains("other is not the deploy branch (main)"), "{text}");
    project.serves("one").await;
    assert_eq!(repository.remote_ref(&project, "refs/heads/other").await, Some(head));
    repository.push_ref(&project, &["--delete", "other"]).await.succeeded();
    assert_eq!(repository.remote_ref(&project, "refs/heads/other").await, None);
}

pub(super) async fn a_force_push_deploys(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    repository.git(&["commit", "--quiet", "--amend", "--message=Another history"]).await.succeeded();
    let head = repository.commit(&Source::greeting("forced")).await;
    let text = repository.push(&project).await.failed();
    assert!(text.contains("non-fast-forward") || text.contains("fetch first"), "{text}");
    project.serves("one").await;
    repository.push_ref(&project, &["--force", "main"]).await.succeeded();
    project.serves("forced").await;
    assert_eq!(repository.remote_ref(&project, "refs/heads/main").await, Some(head));
}

pub(super) async fn tags_are_stored(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    repository.git(&["tag", "v1"]).await.succeeded();
    repository.git(&["tag", "--annotate", "--message=The second", "v2"]).await.succeeded();
    repository.push_ref(&project, &["--tags"]).await.succeeded();
    assert!(repository.remote_ref(&project, "refs/tags/v2").await.is_some());
    let body = json!({ "revision": "v2" });
    let accepted = project.api.post(&project.path("/deployments"), body).await.ok();
    project.done(&accepted).await;
    project.serves("one").await;
}

pub(super) async fn the_deploy_branch_cannot_be_deleted(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    let text = repository.push_ref(&project, &["--delete", "main"]).await.failed();
    assert!(text.contains("deploy branch"), "{text}");
    assert!(repository.remote_ref(&project, "refs/heads/main").await.is_some());
    project.serves("one").await;
}

pub(super) async fn of_two_pushes_at_once_one_waits_and_is_refused(platform: &Platform) {
    let developer = platform.developer().await;
    let project = developer.project(platform).await;
    let slow = developer.repository(&Source::of(&Dockerfile::building("pause 6000"))).await;
    let first = slow.start_push(&project, &["main"]);
    first.says("building slowly").await;
    let other = developer.repository(&Source::greeting("other")).await;
    let text = other.push(&project).await.failed();
    assert!(text.contains("another build of this project is running"), "{text}");
    assert!(text.contains("paastech cancel"), "{text}");
    first.end().await.succeeded();
    project.serves("hello").await;
}

pub(super) async fn an_unborn_project_can_be_cloned(platform: &Platform) {
    let developer = platform.developer().await;
    let project = developer.project(platform).await;
    let repository = developer.repository(&Source::empty()).await;
    let text = repository.git(&["clone", &project.git_url, "cloned"]).await.succeeded();
    assert!(text.contains("empty repository"), "{text}");
}

pub(super) async fn a_shallow_clone_can_push(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    repository.commit(&Source::greeting("two")).await;
    repository.push(&project).await.succeeded();
    let folder = repository.folder().join("shallow");
    let words = ["clone", "--quiet", "--depth=1", &project.git_url, "shallow"];
    repository.git(&words).await.succeeded();
    let shallow = developer.repository_at(&folder);
    assert_eq!(shallow.git(&["rev-list", "--count", "HEAD"]).await.succeeded().trim(), "1");
    shallow.commit(&Source::greeting("from the shallow clone")).await;
    shallow.push(&project).await.succeeded();
    project.serves("from the shallow clone").await;
}

pub(super) async fn without_auto_deploy_a_push_waits_for_its_deployment(platform: &Platform) {
    let developer = platform.developer().await;
    let project = developer.project_with(platform, json!({ "auto_deploy": false })).await;
    let repository = developer.repository(&Source::greeting("later")).await;
    repository.push(&project).await.succeeded();
    project.settled(30).await;
    assert_eq!(project.visit().await.status, StatusCode::NOT_FOUND);
    let releases = project.api.get(&project.path("/releases")).await.ok();
    assert_eq!(releases["items"].as_array().map(Vec::len), Some(1), "{releases}");
    let accepted = project.api.post(&project.path("/deployments"), json!({})).await.ok();
    project.done(&accepted).await;
    project.serves("later").await;
}

pub(super) async fn a_client_lost_before_the_refs_moved_changes_nothing(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    let before = repository.remote_ref(&project, "refs/heads/main").await;
    repository.commit(&Source::of(&Dockerfile::building("hang"))).await;
    let push = repository.start_push(&project, &["main"]);
    push.says("hanging").await;
    push.interrupt().await;
    let operations = project.settled(50).await;
    assert!(
        operations.iter().any(|found| found["kind"] == "build" && found["state"] != "done"),
        "{operations:?}"
    );
    assert_eq!(repository.remote_ref(&project, "refs/heads/main").await, before);
    project.serves("one").await;
    repository.commit(&Source::greeting("two")).await;
    repository.push(&project).await.succeeded();
    project.serves("two").await;
}

pub(super) async fn ctrl_c_ends_a_build_by_buildpacks(platform: &Platform) {
    let developer = platform.developer().await;
    let project = developer.project(platform).await;
    let repository = developer.repository(&Source::built_slowly(600, "never")).await;
    let push = repository.start_push(&project, &["main"]);
    push.says("Compiling slow").await;
    push.says("still at it after").await;
    push.interrupt().await;
    project.settled(50).await;
    eventually("nothing of the build is left", 20, || async {
        platform.engine.builds_of(&project.id).await.ok()?.is_empty().then_some(())
    })
    .await;
    assert_eq!(repository.remote_ref(&project, "refs/heads/main").await, None);
}

pub(super) async fn a_client_lost_after_the_refs_moved_does_not_stop_the_deployment(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    let late = Dockerfile::running("late 3000").line("ENV GREETING=late");
    let head = repository.commit(&Source::of(&late)).await;
    let push = repository.start_push(&project, &["main"]);
    push.says("Deploying as operation").await;
    push.interrupt().await;
    project.comes_to_serve("late", 40).await;
    assert_eq!(repository.remote_ref(&project, "refs/heads/main").await, Some(head));
}
