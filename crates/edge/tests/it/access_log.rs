//! What a request leaves in the log.

use std::{
    io,
    sync::{Arc, Mutex},
};

use crate::{
    app::App,
    rig::{HOST, Rig, eventually},
};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn requests(&self) -> Vec<String> {
        let all = String::from_utf8_lossy(&self.0.lock().expect("not poisoned")).into_owned();
        all.lines().filter(|line| line.contains("duration_ms")).map(str::to_owned).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Collects the log of this thread, and so of this test's runtime.
fn collect() -> (Lines, tracing::subscriber::DefaultGuard) {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    (lines, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn one_line_says_what_was_asked_and_answered_and_no_secret() {
    let (lines, _guard) = collect();
    let (rig, app) = (Rig::start().await, App::start("a").await);
    let replica = rig.replica(1, app.addr);
    rig.table.apply(std::slice::from_ref(&replica));
    rig.raw(&format!(
        "GET /a/b?token=hunter2 HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer hunter2\r\nCookie: hunter2\r\nConnection: close\r\n\r\n"
    ))
    .await;
    eventually("the line is there", async || lines.requests().len() == 1).await;
    let line = lines.requests().remove(0);
    for part in ["INFO", "method=GET", HOST, "\"/a/b\"", "status=200", &replica.release.to_string()] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(!line.contains("hunter2"), "{line}");
}

#[tokio::test]
async fn a_client_that_goes_away_is_499() {
    let (lines, _guard) = collect();
    let (rig, app) = (Rig::start().await, App::start("a").await);
    rig.table.apply(&[rig.replica(1, app.addr)]);
    let stream = rig.open(&format!("GET /held HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    eventually("the request is in flight", async || rig.in_flight() == 1).await;
    drop(stream);
    eventually("the line is there", async || lines.requests().iter().any(|line| line.contains("status=499")))
        .await;
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let (lines, _guard) = collect();
    let rig = Rig::with(|config| config.access_log = false).await;
    assert_eq!(rig.get(HOST, "/").await.0, http::StatusCode::NOT_FOUND);
    drop(rig);
    assert_eq!(lines.requests(), [""; 0]);
}
