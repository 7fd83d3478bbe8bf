//! Clients and apps that are too slow, too big, or too many.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use paastech_edge::EdgeConfig;
use tokio::{io::AsyncWriteExt as _, time::Instant};

use crate::{
    app::App,
    rig::{HOST, Rig, closes, eventually, read_to},
};

async fn rig_with_app(change: impl FnOnce(&mut EdgeConfig)) -> (Rig, App) {
    let (rig, app) = (Rig::with(change).await, App::start("a").await);
    rig.table.apply(&[rig.replica(1, app.addr)]);
    (rig, app)
}

#[tokio::test]
async fn a_head_that_takes_too_long_is_dropped_however_it_begins() {
    let (rig, _app) = rig_with_app(|config| config.timeouts.header_ms = 400).await;
    let head = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n");
    for begun in ["", "P", "PRI * HTTP/2.0\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET", &head] {
        let mut stream = rig.open(begun).await;
        let began = Instant::now();
        assert!(closes(&mut stream).await, "{begun:?}");
        assert!(began.elapsed() < Duration::from_secs(3), "{begun:?}");
    }
}

#[tokio::test]
async fn a_head_in_drips_is_dropped() {
    let (rig, _app) = rig_with_app(|config| config.timeouts.header_ms = 400).await;
    let mut stream = rig.open(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n")).await;
    let began = Instant::now();
    while stream.write_all(b"X-Drip: 1\r\n").await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(5), "it may drip on for ever");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_a_while_only() {
    let (rig, _app) = rig_with_app(|config| {
        config.timeouts.header_ms = 300;
        config.timeouts.keep_alive_ms = 1_500;
    })
    .await;
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let mut stream = rig.open(&request).await;
    read_to(&mut stream, "hello").await;
    // Longer than a head may take: silence between requests has a limit of its own.
    tokio::time::sleep(Duration::from_millis(800)).await;
    stream.write_all(request.as_bytes()).await.expect("still open");
    read_to(&mut stream, "hello").await;
    assert!(closes(&mut stream).await);
}

#[tokio::test]
async fn idle_connections_to_an_app_are_not_kept() {
    let (rig, app) = rig_with_app(|_| {}).await;
    let requests = (0..8).map(|_| rig.get(HOST, "/held"));
    let answers = tokio::join!(futures_util::future::join_all(requests), async {
        eventually("all are in flight", async || rig.in_flight() == 8).await;
        assert_eq!(app.open.load(Ordering::SeqCst), 8);
        app.gate.add_permits(8);
    });
    assert!(answers.0.iter().all(|(status, _)| *status == StatusCode::OK));
    eventually("the app has none left", async || app.open.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn a_body_that_stands_still_is_answered_with_408() {
    let (rig, _app) = rig_with_app(|config| config.timeouts.upload_idle_ms = 300).await;
    let head = format!("POST /held HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10\r\n\r\nhalf");
    let answer = rig.raw(&head).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    eventually("nothing is left in flight", async || rig.in_flight() == 0).await;
}

#[tokio::test]
async fn an_app_that_does_not_answer_is_answered_with_504() {
    let (rig, _app) = rig_with_app(|config| config.timeouts.response_ms = 300).await;
    assert_eq!(rig.get(HOST, "/slow").await.0, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(rig.in_flight(), 0);
}

#[tokio::test]
async fn a_long_upload_is_no_slow_app() {
    let (rig, _app) = rig_with_app(|config| config.timeouts.response_ms = 1_000).await;
    // The app answers only when it has read the body, and that takes longer than it may think.
    let head = format!("POST /sum HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut stream = rig.open(&head).await;
    for _ in 0..15 {
        stream.write_all(b"1\r\nx\r\n").await.expect("sends");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stream.write_all(b"0\r\n\r\n").await.expect("sends");
    let answer = read_to(&mut stream, "15 bytes").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn an_answer_that_stands_still_is_cut() {
    let (rig, _app) = rig_with_app(|config| config.timeouts.response_idle_ms = 300).await;
    let head =
        format!("POST /echo HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
    let answer = rig.raw(&head).await;
    assert!(answer.contains("half") && !answer.ends_with("0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut() {
    let (rig, _app) = rig_with_app(|config| config.timeouts.write_stall_ms = 500).await;
    let stream = rig.open(&format!("GET /flood HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    eventually("the answer is under way", async || rig.in_flight() == 1).await;
    eventually("the answer is given up", async || rig.in_flight() == 0).await;
    drop(stream);
}

#[tokio::test]
async fn too_large_a_body_is_413_announced_or_not() {
    let (rig, _app) = rig_with_app(|config| config.limits.body_bytes = 10).await;
    let post = format!("POST /echo HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n");
    let fits = rig.raw(&format!("{post}Content-Length: 10\r\n\r\n0123456789")).await;
    assert!(fits.ends_with("0123456789"), "{fits}");
    let announced = rig.raw(&format!("{post}Content-Length: 11\r\n\r\n")).await;
    assert!(announced.starts_with("HTTP/1.1 413 "), "{announced}");
    let head = post.replace("/echo", "/sum");
    let chunked =
        rig.raw(&format!("{head}Transfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n")).await;
    assert!(chunked.starts_with("HTTP/1.1 413 "), "{chunked}");
}

#[tokio::test]
async fn too_many_or_too_long_headers_are_431() {
    let (rig, _app) = rig_with_app(|config| config.limits.header_bytes = 8192).await;
    let many = "X-A: 1\r\n".repeat(150);
    let long = format!("X-A: {}\r\n", "x".repeat(10_000));
    for headers in [many, long] {
        let answer = rig.raw(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let mut request = Request::get(format!("http://{HOST}/"));
    for n in 0..150 {
        request = request.header(format!("x-{n}"), "1");
    }
    let answer = rig.h2(request.body(Full::<Bytes>::default()).expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test]
async fn one_address_gets_only_so_many_connections() {
    let (rig, _app) = rig_with_app(|config| config.limits.connections_per_ip = 2).await;
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let mut first = rig.open(&request).await;
    let mut second = rig.open(&request).await;
    read_to(&mut first, "hello").await;
    read_to(&mut second, "hello").await;
    let mut third = tokio::net::TcpStream::connect(rig.addr).await.expect("connects");
    assert!(closes(&mut third).await, "refused");
    drop(first);
    eventually("a place is free again", async || {
        let mut stream = tokio::net::TcpStream::connect(rig.addr).await.expect("connects");
        let sent = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.is_ok();
        let mut answer = String::new();
        sent && tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.is_ok()
            && answer.starts_with("HTTP/1.1 400 ")
    })
    .await;
}

#[tokio::test]
async fn all_together_get_only_so_many_connections() {
    let (rig, _app) = rig_with_app(|config| config.limits.connections = 1).await;
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let mut first = rig.open(&request).await;
    read_to(&mut first, "hello").await;
    let mut second = rig.open(&request).await;
    let early = tokio::time::timeout(Duration::from_millis(300), read_to(&mut second, "hello")).await;
    assert!(early.is_err(), "it waits");
    drop(first);
    read_to(&mut second, "hello").await;
}
