//! Accounts and sessions.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Admin;
use crate::harness::{PASSWORD, Server, on_each_database};

async fn logs_in(server: &Server, email: &str, password: &str) -> u16 {
    server.nobody().post("/v1/sessions", &json!({ "email": email, "password": password })).await.status()
}

fn printed_password(out: &str) -> &str {
    out.lines()
        .find_map(|line| line.strip_prefix("password").and_then(|rest| rest.rsplit_once(": ")))
        .unwrap()
        .1
}

#[tokio::test]
async fn an_administrator_is_made_beside_the_running_api() {
    on_each_database(async |server| {
        let admin = Admin::of(server).await;
        let words = ["create-admin", "--email", "Ada@Example.org", "--name", "Ada"];
        let ended = admin.run(&words).await.succeeded();
        assert_eq!(logs_in(server, "ada@example.org", printed_password(&ended.out)).await, 201);
        let session = server.nobody();
        let body = json!({ "token": "pt_setup_0", "email": "b@x.org", "name": "B", "password": PASSWORD });
        session.post("/v1/setup", &body).await.refused(410, "setup_done").await;
        admin.run(&words).await.failed("reset-password ada@example.org");
        admin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_given_password_is_taken_by_the_same_rule_and_never_shown() {
    on_each_database(async |server| {
        let admin = Admin::of(server).await;
        let words = ["create-admin", "--email", "ada@example.org", "--name", "Ada", "--password-stdin"];
        admin.run_with(&words, "short\n").await.failed("at least 15 characters");
        let ended = admin.run_with(&words, &format!("{PASSWORD}\n")).await.succeeded();
        assert!(!ended.out.contains(PASSWORD) && !ended.err.contains(PASSWORD));
        let client = server.log_in("ada@example.org").await;
        assert_eq!(client.get("/v1/account").await.expect(StatusCode::OK).await["role"], "administrator");
        admin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_reset_password_ends_the_accounts_sessions_and_no_others() {
    on_each_database(async |server| {
        let (ada, eve) = (server.user("ada").await, server.user("eve").await);
        let admin = Admin::of(server).await;
        let ended = admin.run(&["reset-password", "ada@example.org"]).await.succeeded();
        assert_eq!(ada.get("/v1/account").await.status(), 401);
        assert_eq!(eve.get("/v1/account").await.status(), 200);
        assert_eq!(logs_in(server, "ada@example.org", PASSWORD).await, 401);
        assert_eq!(logs_in(server, "ada@example.org", printed_password(&ended.out)).await, 201);
        admin.run(&["reset-password", "bob@example.org"]).await.failed("no account has the address");
        admin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn sessions_are_listed_and_ended_one_by_one_by_account_or_all() {
    on_each_database(async |server| {
        let (ada, eve) = (server.user("ada").await, server.user("eve").await);
        let again = server.log_in("ada@example.org").await;
        let admin = Admin::of(server).await;
        let list = async |words: &[&str]| -> Vec<Value> {
            let ended = admin.run(&[&["sessions", "list", "--json"], words].concat()).await.succeeded();
            serde_json::from_str(&ended.out).unwrap()
        };
        assert_eq!(list(&[]).await.len(), 3);
        let of_ada = list(&["--email", "ADA@example.org"]).await;
        assert_eq!(of_ada.len(), 2);
        let id = of_ada[0]["id"].as_str().unwrap();
        let text = admin.run(&["sessions", "list"]).await.succeeded().out;
        assert!(text.starts_with("ID ") && text.contains(id) && text.contains("eve@example.org"), "{text}");
        admin.run(&["sessions", "revoke", id]).await.succeeded();
        assert_eq!(
            (ada.get("/v1/account").await.status(), again.get("/v1/account").await.status()),
            (401, 200)
        );
        admin.run(&["sessions", "revoke", id]).await.failed("no session that still counts");
        admin.run(&["sessions", "revoke", "--email", "ada@example.org"]).await.succeeded();
        assert_eq!(
            (again.get("/v1/account").await.status(), eve.get("/v1/account").await.status()),
            (401, 200)
        );
        admin.run(&["sessions", "revoke", "--all"]).await.succeeded();
        assert_eq!(eve.get("/v1/account").await.status(), 401);
        assert_eq!(admin.run(&["sessions", "revoke"]).await.code, Some(2));
        admin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn where_nothing_is_installed_a_command_says_so_and_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = paastech_api::Config { data_dir: dir.path().join("absent"), ..Default::default() };
    let admin = Admin::on(config, &crate::fakes::Fakes::default()).await;
    admin.run(&["sessions", "list"]).await.failed("there is no installation in");
    assert!(!dir.path().join("absent").exists());
    admin.stop().await;
}
