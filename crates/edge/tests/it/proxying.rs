//! Requests and answers on their way through: whole, unbuffered, in every version.

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::{io::AsyncWriteExt as _, sync::mpsc};

use crate::{
    app::{App, Script},
    rig::{HOST, Rig, read_to},
};

async fn rig_with_app() -> (Rig, App) {
    let (rig, app) = (Rig::start().await, App::start("a").await);
    rig.table.apply(&[rig.replica(1, app.addr)]);
    (rig, app)
}

#[tokio::test]
async fn both_directions_stream_at_once() {
    let (rig, _app) = rig_with_app().await;
    let head = format!("POST /echo HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut stream = rig.open(&head).await;
    for piece in ["first", "later"] {
        stream.write_all(format!("5\r\n{piece}\r\n").as_bytes()).await.expect("sends");
        read_to(&mut stream, piece).await;
    }
    stream.write_all(b"0\r\n\r\n").await.expect("sends");
    read_to(&mut stream, "0\r\n\r\n").await;
}

#[tokio::test]
async fn big_bodies_come_back_as_they_were() {
    let (rig, _app) = rig_with_app().await;
    let sent: Vec<u8> = (0..24_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let sent = Bytes::from(sent);
    let request =
        Request::post(format!("http://{HOST}/echo")).body(Full::new(sent.clone())).expect("a request");
    let answer = rig.h2(request).await.expect("an answer").into_body().collect().await.expect("a body");
    assert!(answer.to_bytes() == sent, "the body differs");
}

#[tokio::test]
async fn http2_streams_and_carries_trailers() {
    let (rig, _app) = rig_with_app().await;
    let (send, mut receive) = mpsc::channel(1);
    let body = StreamBody::new(
        futures_util::stream::poll_fn(move |cx| receive.poll_recv(cx)).map(Ok::<_, hyper::Error>),
    );
    let request = Request::post(format!("http://{HOST}/echo"))
        .header("te", "trailers")
        .header("trailer", "x-sum")
        .body(body)
        .expect("a request");
    let answering = tokio::spawn(async move { (rig.h2(request).await, rig) });
    send.send(Frame::data(Bytes::from_static(b"one"))).await.expect("sends");
    let (answer, _rig) = answering.await.expect("ends");
    let answer = answer.expect("an answer");
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
    let mut body = answer.into_body();
    let first = body.frame().await.expect("a frame").expect("data").into_data();
    assert_eq!(first.expect("data"), "one");
    let trailers = HeaderMap::from_iter([("x-sum".parse().expect("a name"), HeaderValue::from_static("7"))]);
    send.send(Frame::trailers(trailers)).await.expect("sends");
    drop(send);
    let rest = body.collect().await.expect("a body");
    assert_eq!(rest.trailers().and_then(|trailers| trailers.get("x-sum")).expect("the trailer"), "7");
}

#[tokio::test]
async fn http1_carries_trailers() {
    let (rig, _app) = rig_with_app().await;
    let answer = rig
        .raw(&format!(
            "POST /echo HTTP/1.1\r\nHost: {HOST}\r\nTE: trailers\r\nTrailer: x-sum\r\nConnection: TE, close\r\n\
             Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n"
        ))
        .await;
    assert!(answer.ends_with("2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn the_app_is_told_who_asks_and_for_what() {
    let (rig, _app) = rig_with_app().await;
    let (status, sent) = rig.get(&format!("{HOST}:8000"), "/headers?a=%2F..%2Fb&c").await;
    assert_eq!(status, StatusCode::OK);
    let host = format!("\nhost: {HOST}:8000\n");
    let forwarded = format!("\nx-forwarded-host: {HOST}:8000\n");
    for line in [
        "GET /headers?a=%2F..%2Fb&c\n",
        "\nx-forwarded-for: 127.0.0.1\n",
        "\nx-forwarded-proto: http\n",
        &host,
        &forwarded,
    ] {
        assert!(sent.contains(line), "{line:?} in {sent}");
    }
}

#[tokio::test]
async fn the_request_id_is_ours_and_the_client_sees_it() {
    let (rig, _app) = rig_with_app().await;
    let answer = rig
        .raw(&format!(
            "GET /headers HTTP/1.1\r\nHost: {HOST}\r\nX-Request-Id: forged\r\nConnection: close\r\n\r\n"
        ))
        .await;
    let ids: Vec<&str> = answer.lines().filter_map(|line| line.strip_prefix("x-request-id: ")).collect();
    assert_eq!(ids.len(), 2, "{answer}");
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], "forged");
}

#[tokio::test]
async fn old_clients_and_old_apps_are_understood() {
    let (rig, _app) = rig_with_app().await;
    let answer = rig.raw(&format!("GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.0 200 ") && answer.ends_with("hello from a"), "{answer}");
    let old = Script::start(&[Some("HTTP/1.0 200 OK\r\n\r\nuntil the end")]).await;
    rig.table.apply(&[rig.replica(2, old.addr)]);
    let answer = rig.raw(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("until the end"), "{answer}");
}

#[tokio::test]
async fn a_head_request_has_the_length_and_no_body() {
    let (rig, _app) = rig_with_app().await;
    let answer = rig.raw(&format!("HEAD / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")).await;
    assert!(answer.contains("content-length: 12\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_told_to_go_on() {
    let (rig, _app) = rig_with_app().await;
    let head =
        format!("POST /echo HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    let mut stream = rig.open(&head).await;
    read_to(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
    stream.write_all(b"hi").await.expect("sends");
    read_to(&mut stream, "\r\n\r\nhi").await;
}

#[tokio::test]
async fn an_app_may_answer_before_it_has_the_body() {
    let (rig, _app) = rig_with_app().await;
    let head = format!("POST /early HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000\r\n\r\n");
    let mut stream = rig.open(&head).await;
    read_to(&mut stream, "before the body").await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_passed_as_whole() {
    let rig = Rig::start().await;
    let broken =
        Script::start(&[Some("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")]).await;
    rig.table.apply(&[rig.replica(1, broken.addr)]);
    let answer = rig.raw(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    assert!(answer.contains("half") && !answer.ends_with("0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn options_for_the_whole_server_reach_the_app() {
    let (rig, _app) = rig_with_app().await;
    let answer = rig.raw(&format!("OPTIONS * HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")).await;
    assert!(answer.ends_with("hello from a"), "{answer}");
}
