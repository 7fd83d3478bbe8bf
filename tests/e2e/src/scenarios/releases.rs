//! What becomes of a release after its push.

use reqwest::StatusCode;
use serde_json::json;

use crate::{Platform, Source, eventually};

pub(super) async fn a_rollback_restores_image_and_configuration(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    let set = json!({ "set": { "COLOUR": { "value": "blue", "kind": "plain" } }, "unset": [] });
    let accepted = project.api.patch(&project.path("/variables"), set).await.ok();
    project.done(&accepted).await;
    repository.commit(&Source::greeting("two")).await;
    repository.push(&project).await.succeeded();
    project.serves("two").await;
    let releases = project.api.get(&project.path("/releases")).await.ok();
    let first = releases["items"].as_array().and_then(|all| all.iter().find(|found| found["seq"] == 1));
    let first = first.unwrap_or_else(|| panic!("{releases}"))["id"].clone();
    let accepted = project.api.post(&project.path("/deployments"), json!({ "release": first })).await.ok();
    project.done(&accepted).await;
    project.serves("one").await;
    let colour = project.site.get("/env/COLOUR").await.expect("it answers").body;
    assert_eq!(colour, "hello", "the variable was not set then");
}

pub(super) async fn setting_a_variable_deploys_it(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, _repository) = developer.live(platform, "one").await;
    let set = json!({ "set": { "GREETING": { "value": "set", "kind": "plain" } }, "unset": [] });
    let accepted = project.api.patch(&project.path("/variables"), set).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.body);
    project.done(&accepted.body).await;
    project.serves("set").await;
    let unset = json!({ "set": {}, "unset": ["GREETING"] });
    let accepted = project.api.patch(&project.path("/variables"), unset).await.ok();
    project.done(&accepted).await;
    project.serves("one").await;
}

pub(super) async fn a_secret_reaches_the_app_and_nobody_else(platform: &Platform) {
    const VALUE: &str = "hunter2-7f1c9b";
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    let set = json!({ "set": { "DATABASE_URL": { "value": VALUE, "kind": "secret" } }, "unset": [] });
    let accepted = project.api.patch(&project.path("/variables"), set).await.ok();
    let operation = project.done(&accepted).await;
    assert_eq!(project.site.get("/env/DATABASE_URL").await.expect("it answers").body, VALUE);

    repository.commit(&Source::greeting("two")).await;
    let pushed = repository.push(&project).await.succeeded();
    let id = operation["id"].as_str().expect("an id");
    let mut shown = vec![pushed, platform.whole_log().await];
    for path in ["", "/variables", "/releases", "/operations", "/status"] {
        shown.push(project.api.get(&project.path(path)).await.ok().to_string());
    }
    shown.push(project.api.get(&format!("/v1/operations/{id}/log?follow=false")).await.ok().to_string());
    assert!(shown[3].contains("DATABASE_URL"), "its name is listed: {}", shown[3]);
    for text in shown {
        assert!(!text.contains(VALUE), "the value is in {text}");
    }
}

pub(super) async fn a_stopped_app_starts_again(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, _repository) = developer.live(platform, "one").await;
    let accepted = project.api.post(&project.path("/stop"), json!({})).await.ok();
    project.done(&accepted).await;
    let gone = |status: StatusCode| matches!(status, StatusCode::NOT_FOUND | StatusCode::SERVICE_UNAVAILABLE);
    eventually("nothing serves", 10, || async { gone(project.visit().await.status).then_some(()) }).await;
    let accepted = project.api.post(&project.path("/start"), json!({})).await.ok();
    project.done(&accepted).await;
    project.serves("one").await;
}

pub(super) async fn a_deleted_project_leaves_nothing(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    let folder = platform.place.repositories.clone();
    assert!(holds(&folder, &project.id), "a repository lies in {}", folder.display());
    assert!(!platform.engine.objects_of(&project.id).await.expect("the engine answers").is_empty());
    let accepted = project.api.delete(&project.path("")).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.body);
    eventually("nothing of it is left in the engine", 30, || async {
        platform.engine.objects_of(&project.id).await.ok()?.is_empty().then_some(())
    })
    .await;
    eventually("its repository goes", 10, || async { (!holds(&folder, &project.id)).then_some(()) }).await;
    eventually("the API has forgotten it", 10, || async {
        (project.api.get(&project.path("")).await.status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    eventually("the proxy has forgotten it", 10, || async {
        (project.visit().await.status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    repository.push(&project).await.failed();
}

/// Whether anything below the folder has this name.
fn holds(folder: &std::path::Path, name: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        entry.file_name().to_string_lossy().contains(name)
            || entry.file_type().is_ok_and(|kind| kind.is_dir()) && holds(&entry.path(), name)
    })
}

pub(super) async fn deployments_report_status_logs_and_stats(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, _repository) = developer.live(platform, "one").await;
    let status = project.api.get(&project.path("/status")).await.ok();
    assert_eq!(status["containers"].as_array().map(Vec::len), Some(1), "{status}");
    let logs = project.api.get(&project.path("/logs?follow=false&tail=100")).await.ok().to_string();
    assert!(logs.contains("listening on 0.0.0.0:8080"), "{logs}");
    let stats = project.api.get(&project.path("/stats")).await.ok();
    assert!(stats.to_string().contains("memory_bytes"), "{stats}");
}
