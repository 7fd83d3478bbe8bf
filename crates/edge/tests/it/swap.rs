//! Redeploys under load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use paastech_edge::Replica;

use crate::{
    app::App,
    rig::{HOST, Rig, eventually},
};

const WORKERS: usize = 6;
const RELEASES: i64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redeploys_under_load_lose_no_request() {
    let rig = Rig::start().await;
    let mut serving = vec![App::start("1").await, App::start("1").await];
    let mut replicas: Vec<Replica> = serving.iter().map(|app| rig.replica(1, app.addr)).collect();
    rig.table.apply(&replicas);
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let workers: Vec<_> = (0..WORKERS)
        .map(|n| tokio::spawn(load(rig.addr, n % 2 == 0, Arc::clone(&stop), Arc::clone(&answered))))
        .collect();
    for seq in 2..=RELEASES {
        let before = answered.load(Ordering::SeqCst);
        let next = vec![App::start(&seq.to_string()).await, App::start(&seq.to_string()).await];
        let new: Vec<Replica> = next.iter().map(|app| rig.replica(seq, app.addr)).collect();
        rig.table.apply(&[replicas, new.clone()].concat());
        eventually("the old release is drained", async || {
            rig.table.draining(None).iter().all(|route| route.in_flight == 0)
        })
        .await;
        rig.table.apply(&new);
        // Its connections break at once, as those of a killed container do.
        serving = next;
        replicas = new;
        eventually("requests go on", async || answered.load(Ordering::SeqCst) > before + 100).await;
    }
    stop.store(true, Ordering::SeqCst);
    for worker in workers {
        let last = worker.await.expect("no request failed");
        assert_eq!(last, RELEASES);
    }
    drop(serving);
}

/// Asks until told to stop; every answer must be good, and never from an older release than the one before.
async fn load(
    addr: std::net::SocketAddr,
    keep_alive: bool,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
) -> i64 {
    let client =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(usize::from(keep_alive)).build_http();
    let mut last = 0;
    loop {
        let ending = stop.load(Ordering::SeqCst);
        let request = Request::post(format!("http://{addr}/")).header("host", HOST);
        let request = request.body(Full::<Bytes>::from("payload")).expect("a request");
        let response = client.request(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        let text = std::str::from_utf8(&body).expect("text");
        let seq: i64 = text.strip_prefix("hello from ").and_then(|seq| seq.parse().ok()).expect("a release");
        assert!(seq >= last, "{seq} after {last}");
        last = seq;
        answered.fetch_add(1, Ordering::SeqCst);
        if ending {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_request_in_flight_ends_on_the_release_where_it_began() {
    let (rig, old, new) = (Rig::start().await, App::start("old").await, App::start("new").await);
    let first = rig.replica(1, old.addr);
    rig.table.apply(std::slice::from_ref(&first));
    let addr = rig.addr;
    let held = tokio::spawn(async move { crate::rig::get(addr, HOST, "/held").await });
    eventually("the request is in flight", async || rig.in_flight() == 1).await;
    rig.table.apply(&[rig.replica(2, new.addr)]);
    assert_eq!(rig.get(HOST, "/").await.1, "hello from new");
    let draining = rig.table.draining(Some(HOST));
    assert_eq!((draining[0].seq, draining[0].in_flight), (1, 1));
    old.gate.add_permits(1);
    assert_eq!(held.await.expect("ends"), (StatusCode::OK, "held by old".to_owned()));
    eventually("the old release is drained", async || {
        rig.table.draining(None).iter().all(|route| route.in_flight == 0)
    })
    .await;
}
