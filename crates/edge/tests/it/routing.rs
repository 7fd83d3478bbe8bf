//! Which release a request reaches, and what is answered when there is none.

use http::StatusCode;

use crate::{
    app::App,
    rig::{HOST, Rig},
};

#[tokio::test]
async fn the_highest_release_takes_all_traffic() {
    let (rig, old, new) = (Rig::start().await, App::start("old").await, App::start("new").await);
    rig.table.apply(&[rig.replica(1, old.addr)]);
    assert_eq!(rig.get(HOST, "/").await, (StatusCode::OK, "hello from old".to_owned()));
    rig.table.apply(&[rig.replica(1, old.addr), rig.replica(2, new.addr)]);
    for _ in 0..4 {
        assert_eq!(rig.get(HOST, "/").await, (StatusCode::OK, "hello from new".to_owned()));
    }
}

#[tokio::test]
async fn an_unknown_host_is_404_and_a_waiting_one_503() {
    let rig = Rig::start().await;
    rig.table.apply(&[rig.replica(1, None)]);
    assert_eq!(rig.get("other.localhost", "/").await.0, StatusCode::NOT_FOUND);
    let answer = rig.raw(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("\r\nretry-after: "), "{answer}");
}

#[tokio::test]
async fn the_internal_address_tells_what_is_routed() {
    let (rig, app) = (Rig::start().await, App::start("a").await);
    let replica = rig.replica(7, app.addr);
    rig.table.apply(std::slice::from_ref(&replica));
    let expected = format!(
        r#"{{"routes":[{{"host":"{HOST}","project":"{}","release":"{}","seq":7,"servers":1,"in_flight":0}}],"draining":[]}}"#,
        replica.project, replica.release
    );
    assert_eq!(rig.ask(&format!("/routes?host={HOST}")).await, (StatusCode::OK, expected.clone()));
    assert_eq!(rig.ask("/routes").await, (StatusCode::OK, expected));
    let nothing = r#"{"routes":[],"draining":[]}"#.to_owned();
    assert_eq!(rig.ask("/routes?host=other.localhost").await, (StatusCode::OK, nothing));
    assert_eq!(rig.ask("/healthz").await.0, StatusCode::OK);
    assert_eq!(rig.ask("/other").await.0, StatusCode::NOT_FOUND);
    assert_eq!(rig.get("127.0.0.1", "/routes").await.0, StatusCode::NOT_FOUND, "never for clients");
}
