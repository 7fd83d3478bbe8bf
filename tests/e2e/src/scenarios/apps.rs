//! Apps that build and do not run: the ref has moved, the old release goes on serving, the pusher reads why.

use crate::{Dockerfile, Platform, Source};

/// Pushes an app in this mode over one that serves; what the pusher reads.
async fn fails_to_start(platform: &Platform, mode: &str) -> String {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "old").await;
    let load = project.site.load(2);
    let head = repository.commit(&Source::of(&Dockerfile::running(mode))).await;
    let ended = repository.push(&project).await;
    assert_eq!(ended.code, Some(1), "{}", ended.text);
    assert_eq!(repository.remote_ref(&project, "refs/heads/main").await, Some(head), "the ref moved");
    project.serves("old").await;
    let failures = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
    let containers = platform.engine.containers_of(&project.id).await.expect("the engine answers");
    assert_eq!(containers.len(), 1, "only the old release is left");
    ended.text
}

pub(super) async fn an_app_that_never_listens_leaves_the_old_release(platform: &Platform) {
    let text = fails_to_start(platform, "deaf").await;
    assert!(text.contains("nothing listens on port 8080"), "{text}");
    assert!(text.contains("I never listen"), "its last lines: {text}");
}

pub(super) async fn an_app_on_another_port_leaves_the_old_release(platform: &Platform) {
    let text = fails_to_start(platform, "elsewhere").await;
    assert!(text.contains("8080") && text.contains("8081"), "{text}");
}

pub(super) async fn an_app_on_loopback_is_told_to_listen_everywhere(platform: &Platform) {
    let text = fails_to_start(platform, "loopback").await;
    assert!(text.contains("0.0.0.0"), "{text}");
}

pub(super) async fn an_app_that_exits_at_once_shows_its_last_lines(platform: &Platform) {
    let text = fails_to_start(platform, "exit").await;
    assert!(text.contains("exited with code 3"), "{text}");
    assert!(text.contains("no database, no app"), "its last lines: {text}");
}

pub(super) async fn an_app_that_eats_its_memory_is_told_so(platform: &Platform) {
    let text = fails_to_start(platform, "hungry").await;
    assert!(text.contains("out of memory"), "{text}");
}
