//! Apps that cannot be reached, or break off: what is tried again, and what must not be.

use http::StatusCode;

use crate::{
    app::{App, Script},
    rig::{HOST, Rig, dead_addr},
};

const OK: Option<&str> = Some("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");

#[tokio::test]
async fn a_dead_replica_costs_no_request() {
    let (rig, app, dead) = (Rig::start().await, App::start("live").await, dead_addr().await);
    rig.table.apply(&[rig.replica(1, dead), rig.replica(1, app.addr)]);
    for _ in 0..10 {
        assert_eq!(rig.get(HOST, "/").await, (StatusCode::OK, "hello from live".to_owned()));
    }
}

#[tokio::test]
async fn a_body_survives_the_replica_that_could_not_be_reached() {
    let (rig, app, dead) = (Rig::start().await, App::start("live").await, dead_addr().await);
    for _ in 0..4 {
        // A new table each time, so that nothing is known about the dead one.
        rig.table.apply(&[]);
        rig.table.apply(&[rig.replica(1, dead), rig.replica(1, app.addr)]);
        let answer = rig
            .raw(&format!(
                "POST /echo HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nbody"), "{answer}");
    }
}

#[tokio::test]
async fn the_table_is_read_again_before_a_request_is_given_up() {
    let (rig, app, dead) = (Rig::start().await, App::start("new").await, dead_addr().await);
    rig.table.apply(&[rig.replica(1, dead)]);
    let (table, replica) = (rig.table.clone(), rig.replica(2, app.addr));
    let swap = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        table.apply(&[replica]);
    });
    assert_eq!(rig.get(HOST, "/").await, (StatusCode::OK, "hello from new".to_owned()));
    swap.await.expect("swapped");
}

#[tokio::test]
async fn nothing_but_dead_replicas_is_502_without_internals() {
    let (rig, dead) = (Rig::start().await, dead_addr().await);
    rig.table.apply(&[rig.replica(1, dead)]);
    let (status, page) = rig.get(HOST, "/").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(!page.contains("127.0.0.1") && !page.contains(&dead.port().to_string()), "{page}");
    assert_eq!(rig.in_flight(), 0);
}

#[tokio::test]
async fn a_request_that_was_sent_is_never_repeated_whatever_its_method() {
    for (method, body) in [("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", ""), ("POST", "body")] {
        let rig = Rig::start().await;
        let app = Script::start(&[None, OK]).await;
        rig.table.apply(&[rig.replica(1, app.addr)]);
        let length = body.len();
        let request = format!(
            "{method} / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let answer = rig.raw(&request).await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{method} {body:?}: {answer}");
        assert_eq!(app.heard().len(), 1, "{method} {body:?}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_app_has_closed_costs_no_request() {
    let rig = Rig::start().await;
    // It says nothing of closing, and closes.
    let app = Script::start(&[Some("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")]).await;
    rig.table.apply(&[rig.replica(1, app.addr)]);
    for _ in 0..5 {
        assert_eq!(rig.get(HOST, "/").await, (StatusCode::OK, "ok".to_owned()));
    }
    assert_eq!(app.heard().len(), 5);
}

#[tokio::test]
async fn an_app_that_speaks_no_http_is_502() {
    let rig = Rig::start().await;
    for (seq, answer) in (1..).zip([
        &[Some("nonsense\r\n\r\n")],
        &[Some("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")],
    ]) {
        let app = Script::start(answer).await;
        rig.table.apply(&[rig.replica(seq, app.addr)]);
        let answer = rig
            .raw(&format!(
                "POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    }
}
