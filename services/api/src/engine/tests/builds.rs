//! Builds and their images.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use paastech_types::PushId;

use super::bench::Bench;
use crate::{
    engine::{self, Input},
    store::{operation, release},
};

#[tokio::test]
async fn the_same_tree_is_built_once() {
    let bench = Bench::new().await;
    bench.start();
    bench.ended(&bench.deploy("a").await).await;
    bench.ended(&bench.deploy("b").await).await;
    assert_eq!(bench.neighbours.count("start_build"), 1);
    let releases = release::list(&mut bench.tx().await, bench.project, None, 10).await.expect("releases");
    assert_eq!(releases.iter().map(|release| release.seq).collect::<Vec<_>>(), [2, 1]);
    bench.end().await;
}

#[tokio::test]
async fn a_failed_build_makes_no_release() {
    let bench = Bench::new().await;
    *bench.neighbours.build_fails.lock().expect("build_fails") = true;
    bench.start();
    let ended = bench.ended(&bench.deploy("a").await).await;
    assert_eq!(ended.error_code.as_deref(), Some("build_failed"));
    assert!(
        release::list(&mut bench.tx().await, bench.project, None, 10).await.expect("releases").is_empty()
    );
    bench.end().await;
}

#[tokio::test]
async fn a_source_that_was_cut_off_is_not_built() {
    let bench = Bench::new().await;
    *bench.neighbours.cut_archives.lock().expect("cut_archives") = 2;
    bench.start();
    assert_eq!(bench.ended(&bench.deploy("a").await).await.state, "done");
    assert_eq!(bench.neighbours.count("archive"), 3);
    assert_eq!(bench.neighbours.count("start_build"), 1);
    bench.end().await;
}

#[tokio::test]
async fn an_image_that_is_gone_from_the_engine_is_built_again() {
    let bench = Bench::new().await;
    bench.start();
    bench.ended(&bench.deploy("a").await).await;
    *bench.neighbours.image_gone.lock().expect("image_gone") = true;
    let again = bench.ended(&bench.deploy("a").await).await;
    assert_eq!((again.state.as_str(), again.error_text.as_deref()), ("done", None));
    assert_eq!(bench.neighbours.count("start_build"), 2);
    *bench.neighbours.image_gone.lock().expect("image_gone") = true;
    let configured = bench.ended(&bench.submit(Input::Reconfigure).await).await;
    assert_eq!(configured.error_code.as_deref(), Some("image_missing"), "only a commit can be built");
    bench.end().await;
}

#[tokio::test]
async fn at_night_repositories_are_maintained_and_images_go_that_nothing_needs() {
    let bench = Bench::new().await;
    bench.start();
    for commit in ["1", "2", "3", "4", "5", "6", "7"] {
        bench.ended(&bench.deploy(commit).await).await;
    }
    let first = release::find_by_seq(&mut bench.tx().await, bench.project, 1).await.expect("read");
    let back = Input::DeployRelease { release: first.expect("v1").id, keep_configuration: false };
    bench.ended(&bench.submit(back).await).await;
    let kept = || bench.neighbours.kept_images.lock().expect("kept_images").last().cloned().expect("asked");
    engine::nightly::pass(&bench.engine).await.expect("done");
    assert_eq!(bench.neighbours.count("maintain"), 1);
    assert_eq!(bench.neighbours.count("collect_registry"), 1);
    assert_eq!(kept().len(), 7, "what was built today may still be on its way");
    bench.engine.clock.advance_ms(2 * 24 * 3_600_000);
    engine::nightly::pass(&bench.engine).await.expect("done");
    // v8 is v1's image and active; with v4 to v8 that leaves v2's and v3's to be removed.
    assert_eq!(kept(), ["pt-1", "pt-4", "pt-5", "pt-6", "pt-7"]);
    bench.end().await;
}

/// The project's repository, the actions, and seconds of life.
fn read_token(token: &str) -> (String, Vec<String>, i64) {
    let claims = token.split('.').nth(1).expect("three parts");
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).expect("base64");
    let claims: serde_json::Value = serde_json::from_slice(&claims).expect("JSON");
    let access = &claims["access"][0];
    let actions = access["actions"].as_array().expect("actions");
    let actions = actions.iter().map(|action| action.as_str().expect("text").to_owned()).collect();
    let life = claims["exp"].as_i64().expect("a time") - claims["iat"].as_i64().expect("a time");
    (access["name"].as_str().expect("a name").to_owned(), actions, life)
}

#[tokio::test]
async fn each_call_brings_a_token_for_its_project_and_for_no_more_than_it_does() {
    let bench = Bench::new().await;
    bench.start();
    bench.ended(&bench.deploy("a").await).await;
    bench.ended(&bench.deploy("a").await).await;
    engine::nightly::pass(&bench.engine).await.expect("done");
    bench.ended(&bench.submit(Input::Delete).await).await;
    let tokens = bench.neighbours.tokens.lock().expect("tokens").clone();
    let deadline = i64::from(bench.engine.config.operation_deadline_seconds);
    for (call, actions, life) in [
        ("start_build", &["pull", "push"][..], deadline + 600),
        ("start_release", &["pull"], 600),
        ("ensure_image", &["pull"], 600),
        ("prune_images", &["pull", "delete"], 600),
        ("remove_project", &["pull", "delete"], 600),
    ] {
        let brought = tokens.iter().filter(|(by, _)| *by == call).map(|(_, token)| read_token(token));
        let brought: Vec<_> = brought.collect();
        assert!(!brought.is_empty(), "{call}");
        for (repository, allowed, good) in brought {
            assert_eq!(repository, format!("apps/{}", bench.project), "{call}");
            assert_eq!(allowed, actions, "{call}");
            assert!(good <= life, "{call}: {good} s");
        }
    }
    bench.end().await;
}

#[tokio::test]
async fn a_build_without_the_registry_is_nobodys_fault_and_says_so() {
    let bench = Bench::new().await;
    *bench.neighbours.build_fails.lock().expect("build_fails") = true;
    *bench.neighbours.registry_down.lock().expect("registry_down") = true;
    bench.start();
    let ended = bench.ended(&bench.deploy("a").await).await;
    assert_eq!(ended.error_code.as_deref(), Some("registry_unavailable"));
    bench.end().await;
}

#[tokio::test]
async fn an_image_that_cannot_be_asked_for_now_is_not_built_again() {
    let bench = Bench::new().await;
    bench.start();
    bench.ended(&bench.deploy("a").await).await;
    *bench.neighbours.failing.lock().expect("failing") = Some(("ensure_image", 2));
    let (push, commit, tree) = (PushId::new().to_string(), "a".repeat(40), "d".repeat(40));
    let row = bench.submit(Input::Build { push, commit, tree }).await;
    let mut tx = bench.tx().await;
    let due = operation::make_due(&mut tx, row.id().expect("an id"), "start", &row.input, 0).await;
    assert!(due.expect("runs"));
    tx.commit().await.expect("committed");
    let ended = bench.ended(&row).await;
    assert_eq!((ended.state.as_str(), ended.error_text.as_deref()), ("done", None));
    assert_eq!(bench.neighbours.count("start_build"), 1);
    bench.end().await;
}
