//! Who works on an operation: failures, restarts, several at once.

use std::time::Duration;

use paastech_db::Backend;

use super::bench::Bench;
use crate::{
    engine::{self, Input},
    store::operation,
};

#[tokio::test]
async fn every_call_may_fail_for_a_while() {
    for call in [
        "archive",
        "put_source",
        "start_build",
        "follow_build",
        "start_release",
        "await_release",
        "open_gate",
        "confirm_release",
    ] {
        let bench = Bench::new().await;
        *bench.neighbours.failing.lock().expect("failing") = Some((call, 2));
        bench.start();
        let ended = bench.ended(&bench.deploy("a").await).await;
        assert_eq!(ended.state, "done", "{call}: {:?}", ended.error_text);
        assert!(bench.neighbours.count(call) > 2, "{call}");
        bench.end().await;
    }
}

#[tokio::test]
async fn whoever_claims_next_goes_on_where_a_killed_process_was() {
    let bench = Bench::new().await;
    let row = bench.deploy("a").await;
    let claimed = bench.engine.claim().await.expect("claims").expect("a row");
    assert_eq!(claimed.id, row.id);
    assert!(bench.engine.claim().await.expect("claims").is_none(), "a claimed operation is nobody else's");
    bench.start();
    let ended = bench.ended(&row).await;
    assert_eq!(ended.state, "done");
    assert!(ended.fence > claimed.fence);
    bench.end().await;
}

#[tokio::test]
async fn a_stale_holder_records_nothing() {
    let bench = Bench::new().await;
    let row = bench.deploy("a").await;
    let claimed = bench.engine.claim().await.expect("claims").expect("a row");
    let stale =
        operation::Claim { id: row.id().expect("an id"), holder: "another".to_owned(), fence: claimed.fence };
    let old = operation::Claim {
        holder: bench.engine.holder.to_string(),
        fence: claimed.fence - 1,
        ..stale.clone()
    };
    for claim in [stale, old] {
        let mut tx = bench.tx().await;
        let next = operation::Progress { state: "running", step: "drain", step_data: "{}", release_id: None };
        assert!(!operation::advance(&mut tx, &claim, next).await.expect("runs"));
        assert!(!operation::finish(&mut tx, &claim, operation::End::Done, None, 1).await.expect("runs"));
        assert_eq!(operation::fence(&mut tx, &claim).await.expect("runs"), None);
    }
    bench.end().await;
}

#[tokio::test]
async fn submits_at_once_are_all_accepted_while_others_are_claimed() {
    let bench = Bench::new().await;
    bench.start();
    for _ in 0..10 {
        let at_once = (0..8).map(|_| {
            bench.submit(Input::DeployCommit {
                commit: "a".repeat(40),
                reason: "deployment".to_owned(),
                record_only: false,
            })
        });
        futures_util::future::join_all(at_once).await;
    }
    let newest = bench.deploy("b").await;
    assert_eq!(bench.ended(&newest).await.state, "done");
    bench.end().await;
}

#[tokio::test]
async fn an_undo_that_never_succeeds_ends_in_quarantine() {
    let bench = Bench::new().await;
    *bench.neighbours.never_ready.lock().expect("never_ready") = true;
    *bench.neighbours.broken.lock().expect("broken") = Some("remove_release");
    bench.start();
    let row = bench.deploy("a").await;
    bench.called("remove_release", 2).await;
    bench.engine.clock.advance_ms(2 * 3_600_000);
    assert_eq!(bench.ended(&row).await.state, "quarantined");
    bench.end().await;
}

#[tokio::test]
async fn clean_restarts_are_no_failed_attempts() {
    let bench = Bench::new().await;
    let row = bench.deploy("a").await;
    for _ in 0..10 {
        let claimed = bench.engine.claim().await.expect("claims").expect("a row");
        let claim = operation::Claim {
            id: row.id().expect("an id"),
            holder: bench.engine.holder.to_string(),
            fence: claimed.fence,
        };
        engine::run::let_go(&bench.engine, &claim).await;
    }
    bench.start();
    assert_eq!(bench.ended(&row).await.state, "done");
    bench.end().await;
}

#[tokio::test]
async fn the_commit_point_and_its_record_are_one_transaction() {
    let bench = Bench::new().await;
    let accepted = bench.deploy("a").await;
    let row = bench.engine.claim().await.expect("claims").expect("a row");
    let id = accepted.id().expect("an id");
    let mut context = engine::step::Context {
        engine: &bench.engine,
        project: bench.project,
        claim: operation::Claim { id, holder: bench.engine.holder.to_string(), fence: row.fence },
        log: bench.engine.logs.writer(id).await.expect("a log"),
        said: Vec::new(),
        release: None,
        row,
    };
    loop {
        match engine::deploy::step(&mut context).await {
            Ok(engine::step::Next::Go(step)) => step.clone_into(&mut context.row.step),
            Ok(engine::step::Next::Recorded(_)) => break,
            _ => panic!("step {} goes on", context.row.step),
        }
    }
    // The process dies here: whoever comes next must not take the operation for one that can be undone.
    assert_eq!(bench.project().await.active_release_id, context.release);
    assert_eq!(bench.row(&accepted).await.step, "gate");
    bench.end().await;
}

#[tokio::test]
async fn a_committed_operation_that_cannot_finish_makes_way() {
    let bench = Bench::new().await;
    bench.start();
    *bench.neighbours.unrouted.lock().expect("unrouted") = Some((1, 1_000_000));
    let cancelled = bench.deploy("a").await;
    bench.called("confirm_release", 1).await;
    bench.cancel(&cancelled).await;
    let ended = bench.ended(&cancelled).await;
    assert_eq!((ended.state.as_str(), ended.error_code.as_deref()), ("failed", Some("unfinished")));
    assert_eq!(bench.project().await.active_release_id, ended.release_id, "what is committed stays");

    let stuck = bench.deploy("b").await;
    bench.called("confirm_release", bench.neighbours.count("confirm_release") + 1).await;
    let next = bench.deploy("c").await;
    assert_eq!(bench.ended(&stuck).await.error_code.as_deref(), Some("unfinished"));
    *bench.neighbours.unrouted.lock().expect("unrouted") = None;
    assert_eq!(bench.ended(&next).await.state, "done");
    bench.assert_only_the_active_release_runs().await;
    bench.end().await;
}

#[tokio::test]
async fn a_claim_that_cannot_be_renewed_is_given_up_before_its_lease_ends() {
    let bench = Bench::new().await;
    let row = bench.deploy("a").await;
    let claimed = bench.engine.claim().await.expect("claims").expect("a row");
    let id = row.id().expect("an id");
    let claim = operation::Claim { id, holder: bench.engine.holder.to_string(), fence: claimed.fence };
    // Nobody else can write the row, and nobody is told so.
    let mut tx = bench.tx().await;
    let next = operation::Progress { state: "running", step: "drain", step_data: "{}", release_id: None };
    assert!(operation::advance(&mut tx, &claim, next).await.expect("runs"));
    let given_up = engine::run::keep_claim(&bench.engine, &claim);
    let lease = Duration::from_millis(operation::LEASE_MS.unsigned_abs());
    tokio::time::timeout(lease, given_up).await.expect("before the lease ends");
    drop(tx);
    bench.end().await;
}

#[tokio::test]
async fn a_database_that_is_slow_to_name_a_trace_does_not_use_up_the_claim() {
    let bench = Bench::new().await;
    bench.deploy("a").await;
    let claimed = bench.engine.claim().await.expect("claims").expect("a row");
    let db = &bench.engine.db;
    let writers = u32::from(db.backend() == Backend::Sqlite);
    let mut held = Vec::new();
    for _ in writers..db.connections().most {
        held.push(db.read().await.expect("a transaction"));
    }
    let given_up = engine::run::trace_of(&bench.engine, &claimed);
    tokio::time::timeout(Duration::from_secs(3), given_up).await.expect("long before the lease ends");
    drop(held);
    bench.end().await;
}
