//! How the edge stops.

use std::time::Duration;

use http::StatusCode;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::Instant};

use crate::{
    app::App,
    rig::{self, HOST, Rig, closes, eventually, read_to},
};

#[tokio::test]
async fn a_drain_refuses_new_connections_and_finishes_what_is_in_flight() {
    let (rig, app) = (Rig::start().await, App::start("a").await);
    rig.table.apply(&[rig.replica(1, app.addr)]);
    let addr = rig.addr;
    let mut idle = rig.open(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    read_to(&mut idle, "hello").await;
    let held = tokio::spawn(async move { rig::get(addr, HOST, "/held").await });
    eventually("the request is in flight", async || rig.in_flight() == 1).await;
    let shutdown = rig.shutdown.clone();
    let stopping = tokio::spawn(async move { shutdown.stop(Duration::from_secs(20)).await });
    eventually("new connections are refused", async || TcpStream::connect(addr).await.is_err()).await;
    assert!(closes(&mut idle).await, "an idle connection ends at once");
    let began = Instant::now();
    app.gate.add_permits(1);
    assert_eq!(held.await.expect("ends"), (StatusCode::OK, "held by a".to_owned()));
    stopping.await.expect("stops");
    assert!(began.elapsed() < Duration::from_secs(10), "it does not wait out the grace");
}

#[tokio::test]
async fn who_came_a_moment_before_the_drain_is_answered() {
    let (rig, app) = (Rig::start().await, App::start("a").await);
    rig.table.apply(&[rig.replica(1, app.addr)]);
    let addr = rig.addr;
    let mut fresh = rig.open("").await;
    // Taken after it: both are at the door.
    let mut served = rig.open(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    read_to(&mut served, "hello").await;
    let shutdown = rig.shutdown.clone();
    let stopping = tokio::spawn(async move { shutdown.stop(Duration::from_secs(20)).await });
    eventually("new connections are refused", async || TcpStream::connect(addr).await.is_err()).await;
    fresh.write_all(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await.expect("taken");
    read_to(&mut fresh, "hello").await;
    assert!(closes(&mut fresh).await, "it is not kept");
    stopping.await.expect("stops");
}

#[tokio::test]
async fn an_endless_answer_does_not_hold_up_a_stop() {
    let rig = Rig::with(|config| config.timeouts.last_answer_ms = 500).await;
    let app = App::start("a").await;
    rig.table.apply(&[rig.replica(1, app.addr)]);
    let addr = rig.addr;
    let mut endless = rig
        .open(&format!(
            "POST /echo HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n"
        ))
        .await;
    read_to(&mut endless, "begun").await;
    let held = tokio::spawn(async move { rig::get(addr, HOST, "/held").await });
    eventually("both are in flight", async || rig.in_flight() == 2).await;
    let (shutdown, began) = (rig.shutdown.clone(), Instant::now());
    let stopping = tokio::spawn(async move { shutdown.stop(Duration::from_secs(20)).await });
    assert!(closes(&mut endless).await);
    assert!(began.elapsed() >= Duration::from_millis(500), "it had its time");
    eventually("only the other is in flight", async || rig.in_flight() == 1).await;
    app.gate.add_permits(1);
    assert_eq!(held.await.expect("ends"), (StatusCode::OK, "held by a".to_owned()), "no answer, no cut");
    stopping.await.expect("stops");
    assert!(began.elapsed() < Duration::from_secs(10), "it does not wait out the grace");
}

#[tokio::test]
async fn the_end_of_the_grace_cuts_what_is_left() {
    let (rig, app) = (Rig::start().await, App::start("a").await);
    rig.table.apply(&[rig.replica(1, app.addr)]);
    let mut stuck = rig.open(&format!("GET /held HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    eventually("the request is in flight", async || rig.in_flight() == 1).await;
    rig.shutdown.stop(Duration::from_millis(200)).await;
    assert!(closes(&mut stuck).await);
    eventually("nothing is in flight", async || rig.in_flight() == 0).await;
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let rig = Rig::start().await;
    let config = paastech_edge::EdgeConfig { listen: rig.addr, ..paastech_edge::EdgeConfig::default() };
    let error = paastech_edge::Edge::with_table(config).await.err().expect("refused").to_string();
    assert!(error.contains(&rig.addr.to_string()), "{error}");
}

#[tokio::test]
async fn the_internal_address_is_never_everybodys() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let config = paastech_edge::EdgeConfig {
            listen: "127.0.0.1:0".parse().expect("an address"),
            internal_listen: address.parse().expect("an address"),
            ..paastech_edge::EdgeConfig::default()
        };
        assert!(paastech_edge::Edge::with_table(config).await.is_err(), "{address}");
    }
}
