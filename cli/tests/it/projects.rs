//! `create`, which project is meant, `delete`.

use serde_json::json;

use crate::host::{Host, Reply, Seen};

const GIT_URL: &str = "ssh://git@paas.example:2222/shop.git";

fn answer(seen: &Seen) -> Reply {
    let project = json!({ "id": "p-1", "slug": "shop", "git_url": GIT_URL, "url": "http://shop.example",
                          "deploy_branch": "main", "desired_state": "running", "active_release": "r-1" });
    match seen.call.as_str() {
        "POST /v1/projects" => Reply::Json(201, project),
        "GET /v1/projects" => Reply::ok(json!({ "items": [project] })),
        "GET /v1/ssh-keys" => Reply::ok(json!({ "items": [] })),
        "GET /v1/projects/shop" => Reply::ok(project),
        "DELETE /v1/projects/p-1" => {
            Reply::Json(202, json!({ "id": "o-1", "kind": "delete", "state": "queued", "created_at": 0 }))
        }
        "GET /v1/operations/o-1" => {
            Reply::ok(json!({ "id": "o-1", "kind": "delete", "state": "done", "created_at": 0 }))
        }
        _ => Reply::Lines(vec![]),
    }
}

#[tokio::test]
async fn create_names_the_project_after_the_folder_and_adds_the_remote() {
    let host = Host::logged_in(answer).await;
    let folder = host.repository("My Shop");
    let outcome = host.run_with("", &folder, &["create"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(host.seen()[0].body, json!({ "slug": "my-shop" }));
    assert_eq!(host.git(&folder, &["remote", "get-url", "paastech"]), GIT_URL);
    assert!(outcome.stderr.contains("git push paastech main"), "{outcome:?}");
    assert!(outcome.stderr.contains("paastech keys add"), "{outcome:?}");

    let open = host.run_with("", &folder, &["open"]).await;
    assert_eq!(open.stdout, "http://shop.example\n", "{open:?}");
}

#[tokio::test]
async fn a_remote_that_is_there_stops_create_before_there_is_a_project() {
    let host = Host::logged_in(answer).await;
    let folder = host.repository("shop");
    host.git(&folder, &["remote", "add", "paastech", "ssh://elsewhere/x"]);
    let outcome = host.run_with("", &folder, &["create"]).await;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(host.seen().is_empty());

    let outcome = host.run_with("", &folder, &["init", "--remote", "staging"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(host.git(&folder, &["remote", "get-url", "staging"]), GIT_URL);
    assert_eq!(host.git(&folder, &["remote", "get-url", "paastech"]), "ssh://elsewhere/x");
}

#[tokio::test]
async fn no_remote_leaves_git_alone() {
    let host = Host::logged_in(answer).await;
    let folder = host.repository("shop");
    let outcome = host.run_with("", &folder, &["create", "--no-remote", "--json"]).await;
    assert_eq!(outcome.json()["git_url"], GIT_URL);
    assert_eq!(host.git(&folder, &["remote"]), "");
}

#[tokio::test]
async fn projects_are_a_table_or_the_apis_json() {
    let host = Host::logged_in(answer).await;
    let table = host.run(&["projects"]).await.stdout;
    assert_eq!(table, "NAME  STATE    URL\nshop  running  http://shop.example\n");
    assert_eq!(host.run(&["projects", "--json"]).await.json()["items"][0]["id"], "p-1");
}

#[tokio::test]
async fn delete_asks_and_without_a_terminal_takes_only_yes() {
    let host = Host::logged_in(answer).await;
    let outcome = host.run_with("shop\n", host.home.path(), &["delete", "-p", "shop"]).await;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("--yes"), "{outcome:?}");
    assert_eq!(host.calls(), ["GET /v1/projects/shop"]);

    let outcome = host.run_at_terminal("shopp\n", &["delete", "-p", "shop"]).await;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(!host.calls().iter().any(|call| call.starts_with("DELETE")));
}

#[tokio::test]
async fn delete_goes_on_when_the_name_is_typed_or_yes_is_said() {
    let host = Host::logged_in(answer).await;
    let outcome = host.run_at_terminal("shop\n", &["delete", "-p", "shop"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    host.seen_call("DELETE /v1/projects/p-1");

    let host = Host::logged_in(answer).await;
    let outcome = host.run(&["delete", "-p", "shop", "--yes"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.stdout, "deleted\n");
    host.seen_call("DELETE /v1/projects/p-1");
}
