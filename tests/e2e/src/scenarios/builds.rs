//! Builds that do not go well: the push is rejected, its reason shown, and nothing else has changed.

use reqwest::StatusCode;

use crate::{Developer, Dockerfile, Platform, Project, Repository, Source, config::BUILD_LOG_KIB};

/// Pushes what cannot be built over what runs; what the pusher reads.
async fn rejected(platform: &Platform, source: &Source) -> String {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "old").await;
    let before = repository.remote_ref(&project, "refs/heads/main").await;
    repository.git(&["rm", "--quiet", "-r", "."]).await.succeeded();
    repository.commit(source).await;
    let text = repository.push(&project).await.failed();
    assert!(text.contains("[remote rejected]"), "{text}");
    assert_eq!(repository.remote_ref(&project, "refs/heads/main").await, before, "the ref stayed");
    project.serves("old").await;
    text
}

pub(super) async fn a_build_that_fails_rejects_the_push(platform: &Platform) {
    let text = rejected(platform, &Source::of(&Dockerfile::building("fail"))).await;
    assert!(text.contains("error[E0001]: this does not compile"), "{text}");
}

pub(super) async fn an_image_that_labels_itself_into_routes_is_refused(platform: &Platform) {
    let evil = Dockerfile::running("serve").line("LABEL traefik.http.routers.x.rule=\"Host(`victim`)\"");
    let text = rejected(platform, &Source::of(&evil)).await;
    assert!(text.contains("traefik.http.routers.x.rule"), "{text}");
}

pub(super) async fn a_build_that_hangs_is_cancelled_from_the_command_line(platform: &Platform) {
    let developer = platform.developer().await;
    let project = developer.project(platform).await;
    let repository = developer.repository(&Source::of(&Dockerfile::building("hang"))).await;
    let push = repository.start_push(&project, &["main"]);
    push.says("hanging").await;
    let operations = project.operations().await;
    let build = operations.iter().find(|found| found["kind"] == "build").expect("a build");
    let id = build["id"].as_str().expect("an id");
    developer.log_in_with_the_client(platform).await;
    developer.paastech(None, &["cancel", id], "").await.succeeded();
    let text = push.end().await.failed();
    assert!(text.contains("cancel"), "{text}");
    let ended = project.settled(20).await;
    assert_eq!(ended[0]["state"], "cancelled", "{ended:?}");
    assert_eq!(project.visit().await.status, StatusCode::NOT_FOUND);
}

/// Pushes something noisy that builds; what the pusher reads.
async fn noisy(platform: &Platform, mode: &str) -> String {
    let developer: Developer = platform.developer().await;
    let project: Project = developer.project(platform).await;
    let repository: Repository = developer.repository(&Source::of(&Dockerfile::building(mode))).await;
    let text = repository.push(&project).await.succeeded();
    project.serves("hello").await;
    text
}

pub(super) async fn a_flood_of_lines_is_bounded(platform: &Platform) {
    let text = noisy(platform, "flood 600000").await;
    assert!(text.contains("flood line 0"), "the beginning is shown");
    let cut = format!("the log is longer than {BUILD_LOG_KIB} KiB: the rest is not kept");
    assert!(text.contains(&cut), "its end says so: {}", &text[text.len() - 2000..]);
    assert!(text.len() < 3 * (BUILD_LOG_KIB << 10), "{} bytes were shown", text.len());
}

pub(super) async fn a_line_without_end_is_cut(platform: &Platform) {
    let text = noisy(platform, "long-line").await;
    assert!(text.len() < 1 << 20, "{} bytes were shown", text.len());
    assert!(text.lines().all(|line| line.len() < 8192), "every line is one that a terminal takes");
    assert!(text.contains("live at"), "what follows is shown");
}

pub(super) async fn terminal_escapes_do_not_reach_the_pusher(platform: &Platform) {
    let text = noisy(platform, "escapes").await;
    assert!(text.contains("end of escapes"), "{text:?}");
    for evil in ["\u{1b}[2J", "\u{1b}]0;", "\u{1b}[1;1H", "\u{8}", "\u{7}"] {
        assert!(!text.contains(evil), "{evil:?} in {text:?}");
    }
}
