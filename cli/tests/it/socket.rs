//! The daemon's socket on the host itself: no log-in.

use serde_json::json;

use crate::host::{Host, Reply, Seen};

fn answer(_: &Seen) -> Reply {
    Reply::ok(json!({ "items": [{ "id": "p-1", "slug": "shop" }] }))
}

#[tokio::test]
async fn a_named_socket_needs_no_log_in() {
    let host = Host::start_on_socket("run/x.sock", answer).await;
    let path = host.home.path().join("run/x.sock");
    let outcome = host.run(&["projects", "--json", "--socket", path.to_str().unwrap()]).await;
    assert_eq!(outcome.json()["items"][0]["slug"], "shop", "{outcome:?}");
    assert_eq!(host.seen_call("GET /v1/projects").token, None);
}

#[tokio::test]
async fn a_socket_in_the_data_folder_is_found() {
    for path in [".local/share/paastech/admin.sock", ".local/share/paastech/api/admin.sock"] {
        let host = Host::start_on_socket(path, answer).await;
        let outcome = host.run(&["projects"]).await;
        assert!(outcome.stdout.contains("shop"), "{path}: {outcome:?}");
        assert!(outcome.stderr.contains("acting as the administrator through"), "{path}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_log_in_wins_over_a_socket_that_was_only_found() {
    let host = Host::start_on_socket(".local/share/paastech/admin.sock", answer).await;
    let outcome = host.run(&["projects", "--api", "http://127.0.0.1:1"]).await;
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(host.seen().is_empty());
}

#[tokio::test]
async fn a_socket_nobody_listens_on_is_5() {
    let host = Host::start_on_socket("x.sock", answer).await;
    let outcome = host.run(&["projects", "--socket", "/nowhere/admin.sock"]).await;
    assert_eq!(outcome.code, Some(5), "{outcome:?}");
    assert!(outcome.stderr.contains("/nowhere/admin.sock"), "{outcome:?}");
}

#[tokio::test]
async fn logging_in_or_out_through_the_socket_is_refused_and_ends_nobodys_session() {
    let host = Host::start_on_socket(".local/share/paastech/admin.sock", answer).await;
    for arguments in [&["login"][..], &["logout"], &["logout", "--everywhere"]] {
        let outcome = host.run(arguments).await;
        assert_eq!(outcome.code, Some(2));
        assert!(outcome.stderr.contains("needs no log-in"), "{outcome:?}");
    }
    assert!(host.seen().is_empty());
}
