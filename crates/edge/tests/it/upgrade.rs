//! Connections that change their protocol.

use std::time::Duration;

use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::Instant};

use crate::{
    app::{App, Script},
    rig::{HOST, Rig, closes, eventually, read_to},
};

async fn websocket(rig: &Rig) -> TcpStream {
    let head =
        format!("GET /ws HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let mut stream = rig.open(&head).await;
    let answer = read_to(&mut stream, "\r\n\r\n").await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 101 ") && answer.contains("upgrade: websocket\r\n"), "{answer}");
    stream
}

#[tokio::test]
async fn a_tunnel_carries_bytes_both_ways_and_counts_as_in_flight() {
    let (rig, app) = (Rig::start().await, App::start("a").await);
    rig.table.apply(&[rig.replica(1, app.addr)]);
    let mut stream = websocket(&rig).await;
    for text in ["ping", "pong"] {
        stream.write_all(text.as_bytes()).await.expect("sends");
        assert_eq!(read_to(&mut stream, text).await, text);
    }
    assert_eq!(rig.in_flight(), 1);
    drop(stream);
    eventually("the tunnel ends with its client", async || rig.in_flight() == 0).await;
}

#[tokio::test]
async fn a_tunnel_stays_on_its_release_after_a_swap() {
    let (rig, old, new) = (Rig::start().await, App::start("old").await, App::start("new").await);
    let first = rig.replica(1, old.addr);
    rig.table.apply(std::slice::from_ref(&first));
    let mut stream = websocket(&rig).await;
    rig.table.apply(&[first, rig.replica(2, new.addr)]);
    stream.write_all(b"still").await.expect("sends");
    read_to(&mut stream, "still").await;
    assert_eq!(rig.table.draining(None)[0].in_flight, 1);
    drop(stream);
    eventually("the old release is drained", async || rig.in_flight() == 0).await;
}

#[tokio::test]
async fn a_silent_tunnel_is_cut() {
    let rig = Rig::with(|config| config.timeouts.tunnel_idle_ms = 300).await;
    let app = App::start("a").await;
    rig.table.apply(&[rig.replica(1, app.addr)]);
    assert!(closes(&mut websocket(&rig).await).await);
}

#[tokio::test]
async fn a_stop_ends_a_tunnel_at_once() {
    let (rig, app) = (Rig::start().await, App::start("a").await);
    rig.table.apply(&[rig.replica(1, app.addr)]);
    let mut stream = websocket(&rig).await;
    let began = Instant::now();
    rig.shutdown.stop(Duration::from_secs(20)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "it does not wait out the grace");
    assert!(closes(&mut stream).await);
}

#[tokio::test]
async fn http2_by_upgrade_is_not_offered_to_the_app() {
    let rig = Rig::start().await;
    let app = Script::start(&[Some("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")]).await;
    rig.table.apply(&[rig.replica(1, app.addr)]);
    let head = format!(
        "GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
    );
    assert!(rig.raw(&head).await.starts_with("HTTP/1.1 200 "));
    let heard = app.heard().concat().to_ascii_lowercase();
    assert!(!heard.contains("upgrade") && !heard.contains("http2-settings"), "{heard}");
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_a_bad_answer() {
    let rig = Rig::start().await;
    let app = Script::start(&[Some(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    )])
    .await;
    rig.table.apply(&[rig.replica(1, app.addr)]);
    let answer = rig.raw(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
}
