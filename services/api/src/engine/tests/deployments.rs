//! Releases: made, awaited, switched to, undone, stopped, started and removed.

use super::{bench::Bench, neighbours::container};
use crate::{
    engine::{self, Input, NewOperation, submit},
    store::{desired, operation, release},
};

#[tokio::test]
async fn a_commit_is_built_released_and_made_active() {
    let bench = Bench::new().await;
    bench.start();
    let ended = bench.ended(&bench.deploy("a").await).await;
    assert_eq!((ended.state.as_str(), ended.error_text.as_deref()), ("done", None));
    assert_eq!(bench.project().await.active_release_id, ended.release_id);
    let lines = bench.engine.logs.read(ended.id().expect("an id"), 1).await.expect("a log");
    assert!(lines.iter().any(|line| line.text == "step 1"), "{lines:?}");
    assert_eq!(lines.last().expect("a last line").text, "Starting release v1", "{lines:?}");
    bench.end().await;
}

#[tokio::test]
async fn a_rollback_restores_the_configuration_for_what_comes_next() {
    let bench = Bench::new().await;
    bench.start();
    let first = bench.ended(&bench.deploy("a").await).await;
    bench.configure(1).await;
    bench.ended(&bench.submit(Input::Reconfigure).await).await;
    assert_eq!(bench.project().await.configuration_version, 1);
    let release = first.release_id.expect("a release");
    let back = Input::DeployRelease { release, keep_configuration: false };
    assert_eq!(bench.ended(&bench.submit(back.clone()).await).await.state, "done");
    assert_eq!(bench.project().await.configuration_version, 0);
    bench.configure(i64::MAX).await;
    assert_eq!(bench.ended(&bench.submit(back).await).await.state, "done");
    assert_eq!(bench.project().await.configuration_version, 2, "what was set meanwhile stays");
    bench.end().await;
}

#[tokio::test]
async fn an_app_that_never_answers_leaves_the_old_release_active() {
    let bench = Bench::new().await;
    bench.start();
    bench.ended(&bench.deploy("a").await).await;
    let before = bench.project().await.active_release_id;
    *bench.neighbours.never_ready.lock().expect("never_ready") = true;
    let ended = bench.ended(&bench.deploy("b").await).await;
    assert_eq!((ended.state.as_str(), ended.error_code.as_deref()), ("failed", Some("not_ready")));
    assert_eq!(bench.project().await.active_release_id, before);
    assert_eq!(bench.neighbours.count("remove_release"), 1, "the new containers are taken back");
    let lines = bench.engine.logs.read(ended.id().expect("an id"), 1).await.expect("a log");
    assert!(lines.iter().any(|line| line.text.contains("Traceback")), "{lines:?}");
    bench.end().await;
}

#[tokio::test]
async fn an_app_that_keeps_ending_after_the_switch_fails_and_the_old_release_stays() {
    let bench = Bench::new().await;
    let old = "00000000-0000-7000-8000-00000000000a";
    bench.neighbours.running.lock().expect("running").push(container(old));
    *bench.neighbours.keeps_ending.lock().expect("keeps_ending") = true;
    bench.start();
    let ended = bench.ended(&bench.deploy("a").await).await;
    assert_eq!((ended.state.as_str(), ended.error_code.as_deref()), ("failed", Some("not_ready")));
    assert!(ended.error_text.is_some_and(|text| text.ends_with("exited with code 4")));
    assert_eq!(bench.project().await.active_release_id, ended.release_id, "what is committed stays wanted");
    assert_eq!(bench.neighbours.count("remove_release"), 0);
    *bench.neighbours.keeps_ending.lock().expect("keeps_ending") = false;
    assert_eq!(bench.ended(&bench.deploy("b").await).await.state, "done", "the next one mends it");
    bench.assert_only_the_active_release_runs().await;
    bench.end().await;
}

#[tokio::test]
async fn an_old_release_stays_while_the_new_one_has_no_route() {
    let bench = Bench::new().await;
    let old = "00000000-0000-7000-8000-00000000000a";
    bench.neighbours.running.lock().expect("running").push(container(old));
    // Confirmed once, and dead when the old one is about to go.
    *bench.neighbours.unrouted.lock().expect("unrouted") = Some((2, 3));
    bench.start();
    assert_eq!(bench.ended(&bench.deploy("a").await).await.state, "done");
    let calls = bench.neighbours.calls.lock().expect("calls").clone();
    let removed = calls.iter().position(|call| call == "remove_release").expect("it goes in the end");
    let confirms = calls[..removed].iter().filter(|call| *call == "confirm_release").count();
    assert_eq!(confirms, 5, "{calls:?}");
    bench.assert_only_the_active_release_runs().await;
    bench.end().await;
}

#[tokio::test]
async fn the_newest_of_three_waits_and_the_one_before_it_is_superseded() {
    let bench = Bench::new().await;
    let running = bench.deploy("a").await;
    bench.engine.claim().await.expect("claims").expect("a row");
    let second = bench.deploy("b").await;
    let third = bench.deploy("c").await;
    assert_eq!(bench.row(&second).await.state, "superseded");
    assert_eq!(bench.row(&third).await.state, "queued");
    assert!(bench.engine.claim().await.expect("claims").is_none(), "one runs per project");
    bench.start();
    bench.ended(&running).await;
    assert_eq!(bench.ended(&third).await.state, "done");
    bench.end().await;
}

#[tokio::test]
async fn a_cancelled_deployment_is_undone() {
    let bench = Bench::new().await;
    *bench.neighbours.failing.lock().expect("failing") = Some(("await_release", 1000));
    bench.start();
    let row = bench.deploy("a").await;
    bench.called("await_release", 1).await;
    bench.cancel(&row).await;
    assert_eq!(bench.ended(&row).await.state, "cancelled");
    assert_eq!(bench.neighbours.count("remove_release"), 1);
    assert_eq!(bench.project().await.active_release_id, None);
    bench.end().await;
}

#[tokio::test]
async fn a_deleted_project_is_buried_and_stays_so() {
    let bench = Bench::new().await;
    bench.start();
    bench.ended(&bench.deploy("a").await).await;
    let mut tx = bench.tx().await;
    desired::set_state(&mut tx, bench.project, "deleted", 1).await.expect("set");
    tx.commit().await.expect("committed");
    let ended = bench.ended(&bench.submit(Input::Delete).await).await;
    assert_eq!(ended.state, "done", "{:?}", ended.error_text);
    assert_eq!(bench.neighbours.count("remove_project"), 1);
    assert_eq!(bench.neighbours.count("delete_repository"), 1);
    let late = bench.ended(&bench.deploy("b").await).await;
    assert_ne!(late.state, "done", "nothing is resurrected");
    assert_eq!(bench.project().await.active_release_id, None);
    bench.end().await;
}

#[tokio::test]
async fn a_deletion_outlives_whatever_comes_after_it_and_its_own_failure() {
    let bench = Bench::new().await;
    let mut tx = bench.tx().await;
    let before = desired::get(&mut tx, bench.project).await.expect("read").expect("there");
    desired::set_state(&mut tx, bench.project, "deleted", 1).await.expect("set");
    tx.commit().await.expect("committed");
    let delete = bench.submit(Input::Delete).await;
    let mut tx = bench.tx().await;
    let late = engine::on_head(&bench.engine, &mut tx, &before, &"c".repeat(40), None).await.expect("runs");
    assert!(late.is_none(), "nothing is deployed any more");
    assert!(!engine::cancel(&bench.engine, &mut tx, &delete, "cancelled", "no").await.expect("runs"));
    let new = NewOperation { project_id: bench.project, input: Input::Stop, created_by: None };
    assert!(submit(&bench.engine, &mut tx, new).await.is_err());
    drop(tx);
    assert_eq!(bench.row(&delete).await.state, "queued");

    let claimed = bench.engine.claim().await.expect("claims").expect("a row");
    let claim = operation::Claim {
        id: delete.id().expect("an id"),
        holder: bench.engine.holder.to_string(),
        fence: claimed.fence,
    };
    let mut tx = bench.tx().await;
    assert!(operation::finish(&mut tx, &claim, operation::End::Failed, None, 1).await.expect("runs"));
    tx.commit().await.expect("committed");
    engine::ref_scan::pass(&bench.engine).await.expect("scans");
    engine::ref_scan::pass(&bench.engine).await.expect("scans");
    let open = operation::list_open(&mut bench.tx().await, bench.project, "deploy").await.expect("rows");
    assert_eq!(open.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>(), ["delete"]);
    bench.start();
    assert_eq!(bench.ended(&open[0]).await.state, "done");
    engine::ref_scan::pass(&bench.engine).await.expect("scans");
    let open = operation::list_open(&mut bench.tx().await, bench.project, "deploy").await.expect("rows");
    assert!(open.is_empty(), "it is deleted once");
    bench.end().await;
}

#[tokio::test]
async fn a_recorded_release_that_is_no_longer_the_newest_is_deployed_under_a_new_number() {
    let bench = Bench::new().await;
    bench.start();
    let record = Input::DeployCommit { commit: "a".repeat(40), reason: "push".to_owned(), record_only: true };
    let recorded = bench.ended(&bench.submit(record).await).await;
    assert!(!recorded.made_live(), "nothing is served by it");
    let first = recorded.release_id.clone().expect("the release it made");
    let deployed = bench.ended(&bench.deploy("b").await).await;
    assert!(deployed.made_live());
    let back = Input::DeployRelease { release: first.clone(), keep_configuration: false };
    let back = bench.ended(&bench.submit(back).await).await;
    assert_eq!(back.state, "done");
    let mut tx = bench.tx().await;
    let active = back.release_id.expect("a release");
    let active = release::get(&mut tx, bench.project, &active).await.expect("read").expect("there");
    assert_eq!((active.seq, active.rollback_of), (3, Some(first)));
    drop(tx);
    bench.end().await;
}

#[tokio::test]
async fn a_start_that_fails_leaves_nothing_running() {
    let bench = Bench::new().await;
    bench.start();
    bench.ended(&bench.deploy("a").await).await;
    bench.ended(&bench.submit(Input::Stop).await).await;
    let stopped = bench.neighbours.count("stop_release");
    *bench.neighbours.never_ready.lock().expect("never_ready") = true;
    assert_eq!(bench.ended(&bench.submit(Input::Start).await).await.state, "failed");
    assert_eq!(bench.neighbours.count("stop_release"), stopped + 1);
    assert_eq!(bench.project().await.desired_state, "stopped");
    bench.end().await;
}

#[tokio::test]
async fn starting_brings_back_an_app_whose_containers_are_gone() {
    let bench = Bench::new().await;
    bench.start();
    bench.ended(&bench.deploy("a").await).await;
    assert_eq!(bench.ended(&bench.submit(Input::Start).await).await.state, "done");
    assert_eq!(bench.neighbours.count("start_release"), 1, "it runs already");
    bench.neighbours.running.lock().expect("running").clear();
    assert_eq!(bench.ended(&bench.submit(Input::Start).await).await.state, "done");
    assert_eq!(bench.neighbours.count("start_release"), 2);
    bench.end().await;
}
