//! Deployments that are followed, and logs.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::host::{Host, Reply, Seen, finish};

fn operation(state: &str) -> Value {
    json!({ "id": "o-1", "kind": "deploy", "state": state, "step": "start", "created_at": 0,
            "url": (state == "done").then_some("http://shop.example"),
            "error": (state == "failed").then(|| json!({ "code": "x", "message": "it never listened" })) })
}

fn line(seq: u64) -> Value {
    json!({ "seq": seq, "at": 0, "text": format!("line {seq}") })
}

fn deploying(state: &'static str) -> impl Fn(&Seen) -> Reply + Send + Sync {
    move |seen| match seen.call.as_str() {
        "POST /v1/projects/shop/deployments" => Reply::Json(202, operation("queued")),
        "GET /v1/operations/o-1/log?follow=true&from=1" => Reply::Lines(vec![line(1), line(2)]),
        _ => Reply::ok(operation(state)),
    }
}

#[tokio::test]
async fn a_deploy_shows_its_log_and_the_address() {
    let host = Host::logged_in(deploying("done")).await;
    let outcome = host.run(&["deploy", "-p", "shop"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.stdout, "line 1\nline 2\nlive at http://shop.example\n");
    assert_eq!(host.seen()[0].body, json!({}));
}

#[tokio::test]
async fn a_failed_deploy_is_1_and_says_why() {
    let host = Host::logged_in(deploying("failed")).await;
    let outcome = host.run(&["deploy", "main", "-p", "shop"]).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(outcome.stderr, "error: the deploy ended as failed: it never listened\n");
    assert_eq!(host.seen()[0].body, json!({ "revision": "main" }));
}

#[tokio::test]
async fn json_follows_as_lines_that_end_with_the_operation() {
    let host = Host::logged_in(deploying("done")).await;
    let outcome = host.run(&["deploy", "-p", "shop", "--json"]).await;
    let lines: Vec<Value> = outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, [line(1), line(2), operation("done")]);
}

#[tokio::test]
async fn a_cut_log_goes_on_where_it_stopped() {
    let streams = AtomicUsize::new(0);
    let host = Host::logged_in(move |seen| match seen.call.as_str() {
        "POST /v1/projects/shop/deployments" => Reply::Json(202, operation("queued")),
        "GET /v1/operations/o-1/log?follow=true&from=1" => Reply::Broken(vec![line(1), line(2)]),
        "GET /v1/operations/o-1/log?follow=true&from=3" => {
            streams.fetch_add(1, Ordering::SeqCst);
            Reply::Lines(vec![line(3)])
        }
        _ if streams.load(Ordering::SeqCst) == 0 => Reply::ok(operation("running")),
        _ => Reply::ok(operation("done")),
    })
    .await;
    let outcome = host.run(&["deploy", "-p", "shop"]).await;
    assert_eq!(outcome.stdout, "line 1\nline 2\nline 3\nlive at http://shop.example\n", "{outcome:?}");
}

#[tokio::test]
async fn detached_names_the_operation_and_returns() {
    let host = Host::logged_in(deploying("done")).await;
    let outcome = host.run(&["deploy", "-p", "shop", "--detach"]).await;
    assert!(outcome.stdout.contains("paastech operation o-1 --follow"), "{outcome:?}");
    assert_eq!(host.seen().len(), 1);
}

#[tokio::test]
async fn ctrl_c_stops_the_following_only() {
    let host = Host::logged_in(|seen| match seen.call.as_str() {
        "POST /v1/projects/shop/deployments" => Reply::Json(202, operation("queued")),
        _ => Reply::Endless(vec![line(1)]),
    })
    .await;
    let mut child = host.spawn(host.home.path(), &["deploy", "-p", "shop"]);
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = tokio::time::timeout(Duration::from_secs(20), stdout.next_line()).await.unwrap().unwrap();
    assert_eq!(first.as_deref(), Some("line 1"));
    let process = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    kill_process(process, Signal::INT).unwrap();
    let outcome = finish(child).await;
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
    assert!(outcome.stderr.contains("operation o-1 goes on"), "{outcome:?}");
    assert!(outcome.stderr.contains("paastech operation o-1 --follow"), "{outcome:?}");
    assert!(!host.calls().iter().any(|call| call.contains("cancel")));
}

#[tokio::test]
async fn following_that_breaks_off_names_the_operation() {
    for (refusal, code) in [(503, 5), (500, 1)] {
        let host = Host::logged_in(move |seen| match seen.call.as_str() {
            "POST /v1/projects/shop/deployments" => Reply::Json(202, operation("queued")),
            _ => Reply::problem(refusal, "the api is in trouble"),
        })
        .await;
        let outcome = host.run(&["deploy", "-p", "shop"]).await;
        assert_eq!(outcome.code, Some(code), "{outcome:?}");
        let error = "error: the api is in trouble; operation o-1 goes on\n";
        assert!(outcome.stderr.starts_with(error), "{outcome:?}");
        assert!(outcome.stderr.contains("paastech operation o-1 --follow"), "{outcome:?}");
    }
}

#[tokio::test]
async fn there_is_nothing_to_follow_of_an_operation_that_is_not_there() {
    let host = Host::logged_in(|_| Reply::problem(404, "there is nothing here")).await;
    let outcome = host.run(&["operation", "o-1", "--follow"]).await;
    assert_eq!(outcome.code, Some(4), "{outcome:?}");
    assert!(!outcome.stderr.contains("goes on"), "{outcome:?}");
}

#[tokio::test]
async fn a_rollback_takes_the_release_before_the_active_one() {
    let release = |seq: u64, deployed_at: Option<i64>| {
        json!({ "id": format!("r-{seq}"), "seq": seq, "created_at": 0, "deployed_at": deployed_at,
                "active": seq == 4, "commit": "c", "reason": "push", "configuration_version": 1 })
    };
    let host = Host::logged_in(move |seen| match seen.call.as_str() {
        "GET /v1/projects/shop/releases?limit=100" => {
            let times = [(5, None), (4, Some(4)), (3, None), (2, Some(2)), (1, Some(1))];
            Reply::ok(json!({ "items": times.map(|(seq, at)| release(seq, at)) }))
        }
        _ => Reply::Json(202, operation("queued")),
    })
    .await;
    assert_eq!(host.run(&["rollback", "-d", "-p", "shop"]).await.code, Some(0));
    assert_eq!(host.run(&["rollback", "v1", "--keep-config", "-d", "-p", "shop"]).await.code, Some(0));
    let sent: Vec<Value> =
        host.seen().into_iter().filter(|seen| seen.call.starts_with("POST")).map(|seen| seen.body).collect();
    assert_eq!(sent, [json!({ "release": "2" }), json!({ "release": "1", "keep_config": true })]);
}

#[tokio::test]
async fn logs_are_lines_and_their_options_reach_the_server() {
    let text = |text: &str| json!({ "container": "web-1", "stream": "stdout", "at": 0, "text": text });
    let host = Host::logged_in(move |_| Reply::Lines(vec![text("hello"), text("world")])).await;
    let outcome = host.run(&["logs", "-p", "shop", "--tail", "2"]).await;
    assert_eq!(outcome.stdout, "web-1 | hello\nweb-1 | world\n", "{outcome:?}");
    assert_eq!(host.calls(), ["GET /v1/projects/shop/logs?follow=false&tail=2"]);
    let json = host.run(&["logs", "-p", "shop", "--json"]).await;
    assert_eq!(json.stdout.lines().count(), 2);
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() {
    let many =
        (0..10_000).map(|seq| json!({ "container": "c", "text": format!("line {seq}") })).collect::<Vec<_>>();
    let host = Host::logged_in(move |_| Reply::Lines(many.clone())).await;
    let mut child = host.spawn(host.home.path(), &["logs", "-p", "shop"]);
    drop(child.stdout.take());
    let outcome = finish(child).await;
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn followed_logs_go_on_after_a_lost_connection_without_repeating() {
    let text =
        |at: i64| json!({ "container": "web-1", "stream": "stdout", "at": at, "text": format!("at {at}") });
    let host = Host::logged_in(move |seen| match seen.call.as_str() {
        "GET /v1/projects/shop/logs?follow=true" => Reply::Broken(vec![text(1), text(2)]),
        "GET /v1/projects/shop/logs?follow=true&tail=0&since=2" => Reply::Endless(vec![text(2), text(3)]),
        _ => Reply::problem(500, "not this"),
    })
    .await;
    let mut child = host.spawn(host.home.path(), &["logs", "-f", "-p", "shop"]);
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    for at in 1..=3 {
        let line = tokio::time::timeout(Duration::from_secs(20), stdout.next_line()).await.unwrap().unwrap();
        assert_eq!(line, Some(format!("web-1 | at {at}")));
    }
}
