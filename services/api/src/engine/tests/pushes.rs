//! Pushes, told by the hook or found by the scan of refs.

use super::bench::Bench;
use crate::{
    engine::{self, Input},
    store::{desired, operation},
};

#[tokio::test]
async fn a_lost_hook_call_is_healed_by_the_scan_once() {
    let bench = Bench::new().await;
    engine::ref_scan::pass(&bench.engine).await.expect("scans");
    engine::ref_scan::pass(&bench.engine).await.expect("scans");
    let open = operation::list_open(&mut bench.tx().await, bench.project, "deploy").await.expect("rows");
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].commit_oid.as_deref(), Some("c".repeat(40).as_str()));
    assert_eq!(bench.project().await.head_oid.as_deref(), Some("c".repeat(40).as_str()));
    bench.end().await;
}

#[tokio::test]
async fn a_push_that_waits_is_deployed_whatever_else_is_asked_for() {
    let bench = Bench::new().await;
    bench.deploy("a").await;
    bench.engine.claim().await.expect("claims").expect("a row");
    let push = bench.deploy("b").await;
    for input in [Input::Reconfigure, Input::Start] {
        assert_eq!(bench.submit(input).await.id, push.id, "it brings this about, too");
    }
    let mut tx = bench.tx().await;
    let waiting = engine::in_the_way(&mut tx, bench.project, &Input::Stop).await.expect("read");
    assert_eq!(waiting.expect("stopping would lose it").id, push.id);
    drop(tx);
    assert_eq!(bench.row(&push).await.state, "queued");
    bench.end().await;
}

#[tokio::test]
async fn a_head_that_the_scan_has_seen_is_deployed_once() {
    let bench = Bench::new().await;
    let commit = "c".repeat(40);
    let mut tx = bench.tx().await;
    let project = desired::get(&mut tx, bench.project).await.expect("read").expect("there");
    let scan = engine::on_head(&bench.engine, &mut tx, &project, &commit, None).await.expect("runs");
    assert!(scan.is_some());
    let project = desired::get(&mut tx, bench.project).await.expect("read").expect("there");
    let push = engine::on_head(&bench.engine, &mut tx, &project, &commit, None).await.expect("runs");
    assert!(push.is_none(), "the push's own word comes second");
    drop(tx);
    bench.end().await;
}

#[tokio::test]
async fn a_push_that_is_only_recorded_pushes_nothing_aside() {
    let bench = Bench::new().await;
    bench.deploy("a").await;
    bench.engine.claim().await.expect("claims").expect("a row");
    let stop = bench.submit(Input::Stop).await;
    let mut tx = bench.tx().await;
    sqlx::query("UPDATE project SET auto_deploy = 0").execute(&mut *tx).await.expect("set");
    let project = desired::get(&mut tx, bench.project).await.expect("read").expect("there");
    let commit = "c".repeat(40);
    let record = engine::on_head(&bench.engine, &mut tx, &project, &commit, None).await.expect("runs");
    assert!(record.is_none(), "the scan does it later");
    let reason = engine::submit::reason("cancelled", "by the user");
    let (id, end) = (stop.id().expect("an id"), operation::End::Cancelled);
    assert!(operation::finish_queued(&mut tx, id, end, &reason, 1).await.expect("runs"));
    let record = engine::on_head(&bench.engine, &mut tx, &project, &commit, None).await.expect("runs");
    let record = record.expect("now nothing waits");
    for input in [Input::Stop, Input::Start, Input::Reconfigure] {
        let waiting = engine::in_the_way(&mut tx, bench.project, &input).await.expect("read");
        assert_eq!(waiting.expect("would lose it").id, record.id);
    }
    drop(tx);
    bench.end().await;
}
