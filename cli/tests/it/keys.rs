//! `keys`.

use std::fs;

use serde_json::json;

use crate::host::{Host, Reply, Seen};

fn answer(seen: &Seen) -> Reply {
    let key = |id: &str, name: &str| {
        json!({ "id": id, "name": name, "algorithm": "ssh-ed25519", "fingerprint": format!("SHA256:{id}"),
                "created_at": 0 })
    };
    match seen.call.as_str() {
        "POST /v1/ssh-keys" => Reply::Json(201, key("new", seen.body["name"].as_str().unwrap())),
        "GET /v1/ssh-keys" => {
            Reply::ok(json!({ "items": [key("k1", "work"), key("k2", "twin")], "next_cursor": "c/2" }))
        }
        "GET /v1/ssh-keys?cursor=c%2F2" => Reply::ok(json!({ "items": [key("k3", "twin")] })),
        _ => Reply::Json(204, serde_json::Value::Null),
    }
}

#[tokio::test]
async fn the_usual_public_key_is_found_the_best_first() {
    let host = Host::logged_in(answer).await;
    let ssh = host.home.path().join(".ssh");
    fs::create_dir(&ssh).unwrap();
    let outcome = host.run(&["keys", "add"]).await;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("ssh-keygen"), "{outcome:?}");

    fs::write(ssh.join("id_ed25519"), "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
    fs::write(ssh.join("id_rsa.pub"), "ssh-rsa AAAA me@rsa\n").unwrap();
    assert_eq!(host.run(&["keys", "add"]).await.code, Some(0));
    fs::write(ssh.join("id_ed25519.pub"), "ssh-ed25519 BBBB me@ed\n").unwrap();
    assert_eq!(host.run(&["keys", "add"]).await.code, Some(0));
    let sent: Vec<_> = host.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(
        sent,
        [
            json!({ "name": "me@rsa", "public_key": "ssh-rsa AAAA me@rsa" }),
            json!({ "name": "me@ed", "public_key": "ssh-ed25519 BBBB me@ed" })
        ]
    );
}

#[tokio::test]
async fn a_key_comes_from_a_path_or_stdin_and_a_private_one_is_not_sent() {
    let host = Host::logged_in(answer).await;
    let folder = host.home.path();
    let outcome = host.run_with("ssh-ed25519 CCCC\n", folder, &["keys", "add", "-", "--name", "ci"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(host.seen()[0].body, json!({ "name": "ci", "public_key": "ssh-ed25519 CCCC" }));

    fs::write(folder.join("id"), "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n").unwrap();
    let outcome = host.run(&["keys", "add", "id"]).await;
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("private key"), "{outcome:?}");
    assert_eq!(host.seen().len(), 1);
}

#[tokio::test]
async fn a_list_holds_every_page() {
    let host = Host::logged_in(answer).await;
    let body = host.run(&["keys", "list", "--json"]).await.json();
    assert_eq!(body["items"].as_array().unwrap().len(), 3);
    let table = host.run(&["keys", "list"]).await.stdout;
    assert!(table.starts_with("NAME") && table.contains("SHA256:k3"), "{table}");
}

#[tokio::test]
async fn a_key_is_removed_by_name_unless_two_have_it() {
    let host = Host::logged_in(answer).await;
    assert_eq!(host.run(&["keys", "remove", "work"]).await.code, Some(0));
    host.seen_call("DELETE /v1/ssh-keys/k1");
    assert_eq!(host.run(&["keys", "remove", "twin"]).await.code, Some(2));
    assert_eq!(host.run(&["keys", "remove", "SHA256:k3"]).await.code, Some(0));
    host.seen_call("DELETE /v1/ssh-keys/k3");
    assert_eq!(host.run(&["keys", "remove", "none"]).await.code, Some(4));
}
