//! `config`.

use std::fs;

use serde_json::{Value, json};

use crate::host::{Host, Reply, Seen};

fn answer(seen: &Seen) -> Reply {
    match seen.call.as_str() {
        "GET /v1/projects/shop/variables" => Reply::ok(json!({ "items": [
            { "name": "A", "kind": "plain", "value": "1", "build": false, "set_at": 0 },
            { "name": "S", "kind": "secret", "build": true, "set_at": 0 },
        ] })),
        _ => Reply::ok(json!({ "version": 2 })),
    }
}

#[tokio::test]
async fn plain_variables_are_set_together() {
    let host = Host::logged_in(answer).await;
    let outcome = host.run(&["config", "set", "A=1", "B=x=y", "C=", "-p", "shop", "--build"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let body = host.seen_call("PATCH /v1/projects/shop/variables").body;
    assert_eq!(body["set"]["A"], json!({ "value": "1", "kind": "plain", "build": true }));
    assert_eq!(body["set"]["B"]["value"], "x=y");
    assert_eq!(body["set"]["C"]["value"], "");
}

#[tokio::test]
async fn a_secret_comes_from_stdin_or_a_file_and_is_not_printed() {
    let host = Host::logged_in(answer).await;
    fs::write(host.home.path().join("cert.pem"), "line 1\nline 2\n").unwrap();
    let arguments = ["config", "set", "--secret", "--no-deploy", "S", "CERT=@cert.pem", "-p", "shop"];
    let outcome = host.run_with("hunter2\n", host.home.path(), &arguments).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(!format!("{outcome:?}").contains("hunter2"));
    let body = host.seen_call("PATCH /v1/projects/shop/variables?deploy=false").body;
    assert_eq!(body["set"]["S"], json!({ "value": "hunter2", "kind": "secret", "build": false }));
    assert_eq!(body["set"]["CERT"]["value"], "line 1\nline 2");
}

#[tokio::test]
async fn stdin_holds_one_value_only() {
    let host = Host::logged_in(answer).await;
    let outcome = host.run(&["config", "set", "--secret", "S", "T", "-p", "shop"]).await;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(host.seen().is_empty());
}

#[tokio::test]
async fn a_list_shows_plain_values_and_of_secrets_the_names() {
    let host = Host::logged_in(answer).await;
    let table = host.run(&["config", "list", "-p", "shop"]).await.stdout;
    assert!(table.contains("A     1") && table.contains("S     (secret)  yes"), "{table}");
    let secrets = host.run(&["config", "list", "--secret", "-p", "shop", "--json"]).await.json();
    let names: Vec<&Value> = secrets["items"].as_array().unwrap().iter().map(|item| &item["name"]).collect();
    assert_eq!(names, ["S"]);
}

#[tokio::test]
async fn unset_secret_spares_plain_variables() {
    let host = Host::logged_in(answer).await;
    assert_eq!(host.run(&["config", "unset", "--secret", "A", "-p", "shop"]).await.code, Some(2));
    assert_eq!(host.run(&["config", "unset", "--secret", "S", "-p", "shop"]).await.code, Some(0));
    assert_eq!(host.seen_call("PATCH /v1/projects/shop/variables").body["unset"], json!(["S"]));
}
