//! Log-in, log-out, and tokens that are renewed.

use std::{fs, sync::Mutex};

use serde_json::{Value, json};

use crate::host::{Host, Reply, Seen};

fn tokens(number: u32) -> Value {
    json!({ "access_token": format!("access-{number}"), "refresh_token": format!("refresh-{number}"),
            "expires_in": 900, "account": { "id": "a", "email": "me@example.org" } })
}

fn account() -> Reply {
    Reply::ok(json!({ "id": "a", "email": "me@example.org", "name": "Me" }))
}

/// Rotation with reuse detection: a refresh token that was used before ends the session.
fn rotating() -> impl Fn(&Seen) -> Reply + Send + Sync {
    let current = Mutex::new(1);
    move |seen| {
        let mut current = current.lock().unwrap();
        if seen.call == "POST /v1/sessions/refresh" {
            if seen.body["refresh_token"] != json!(format!("refresh-{current}")) {
                *current = 1000;
                return Reply::problem(401, "this token was used before");
            }
            *current += 1;
            return Reply::ok(tokens(*current));
        }
        if seen.token.as_deref() == Some(&format!("access-{current}")) && *current > 1 {
            account()
        } else {
            Reply::problem(401, "the token has expired")
        }
    }
}

#[tokio::test]
async fn a_log_in_is_kept_for_its_owner_only_and_used() {
    let host = Host::start(|seen| match seen.call.as_str() {
        "POST /v1/sessions" => Reply::Json(201, tokens(1)),
        _ => account(),
    })
    .await;
    let arguments = ["login", &format!("{}/", host.url()), "--email", "me@example.org", "--password-stdin"];
    let outcome = host.run_with("hunter2\n", host.home.path(), &arguments).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(!format!("{outcome:?}").contains("access-1"));
    assert_eq!(host.mode_of_credentials(), 0o600);
    assert_eq!(host.seen()[0].body, json!({ "email": "me@example.org", "password": "hunter2" }));
    assert_eq!(host.seen()[0].key, None);

    let outcome = host.run(&["whoami"]).await;
    assert!(outcome.stdout.contains("me@example.org"), "{outcome:?}");
    assert_eq!(host.seen_call("GET /v1/account").token.as_deref(), Some("access-1"));
}

#[tokio::test]
async fn a_name_under_localhost_is_this_machine_whatever_its_resolver_says() {
    let host = Host::start(|_| Reply::Json(201, tokens(1))).await;
    let url = host.url().replace("127.0.0.1", "api.localhost");
    let arguments = ["login", &url, "--email", "me@example.org", "--password-stdin"];
    let outcome = host.run_with("hunter2\n", host.home.path(), &arguments).await;
    assert!(url.contains("localhost") && outcome.code == Some(0), "{outcome:?}");
}

#[tokio::test]
async fn a_wrong_password_is_3_and_keeps_nothing() {
    let host = Host::start(|_| Reply::problem(401, "wrong e-mail address or password")).await;
    let arguments = ["login", host.url(), "--email", "me@example.org", "--password-stdin"];
    let outcome = host.run_with("x", host.home.path(), &arguments).await;
    assert_eq!(outcome.code, Some(3));
    assert_eq!(outcome.stderr, "error: wrong e-mail address or password\n");
    assert!(!host.credentials().exists());
}

#[tokio::test]
async fn a_used_up_token_is_renewed_before_the_call() {
    let host = Host::start(rotating()).await;
    host.save_log_in("access-1", 0);
    let outcome = host.run(&["whoami"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(host.calls(), ["POST /v1/sessions/refresh", "GET /v1/account"]);
    assert!(fs::read_to_string(host.credentials()).unwrap().contains("refresh-2"));
    assert_eq!(host.mode_of_credentials(), 0o600);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_call_repeated() {
    let host = Host::logged_in(rotating()).await;
    let outcome = host.run(&["whoami"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(host.calls(), ["GET /v1/account", "POST /v1/sessions/refresh", "GET /v1/account"]);
}

#[tokio::test]
async fn commands_at_the_same_time_use_a_refresh_token_once() {
    let host = Host::start(rotating()).await;
    host.save_log_in("access-1", 0);
    let (a, b, c, d) = tokio::join!(
        host.run(&["whoami"]),
        host.run(&["whoami"]),
        host.run(&["whoami"]),
        host.run(&["whoami"])
    );
    for outcome in [a, b, c, d] {
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
    }
    let refreshed = host.calls().iter().filter(|call| call.contains("refresh")).count();
    assert_eq!(refreshed, 1);
}

#[tokio::test]
async fn a_session_that_cannot_be_renewed_is_forgotten_with_a_hint() {
    let host = Host::start(|_| Reply::problem(401, "no such session")).await;
    host.save_log_in("access-1", 0);
    let outcome = host.run(&["whoami"]).await;
    assert_eq!(outcome.code, Some(3));
    assert!(outcome.stderr.contains(&format!("hint: paastech login {}", host.url())), "{outcome:?}");
    assert!(!fs::read_to_string(host.credentials()).unwrap().contains("refresh-1"));
}

#[tokio::test]
async fn a_server_in_trouble_does_not_cost_the_log_in() {
    let host = Host::start(|_| Reply::problem(503, "the database is away")).await;
    host.save_log_in("access-1", 0);
    assert_eq!(host.run(&["whoami"]).await.code, Some(5));
    assert!(fs::read_to_string(host.credentials()).unwrap().contains("refresh-1"));
}

#[tokio::test]
async fn a_log_out_ends_the_session_and_forgets_it() {
    let host = Host::logged_in(|_| Reply::Json(204, Value::Null)).await;
    let outcome = host.run(&["logout"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(host.calls(), ["DELETE /v1/sessions/current"]);
    assert!(!fs::read_to_string(host.credentials()).unwrap().contains("access-1"));
    assert_eq!(host.run(&["whoami"]).await.code, Some(3));
}

#[tokio::test]
async fn the_first_account_takes_the_setup_token() {
    let host = Host::start(|seen| match seen.call.as_str() {
        "POST /v1/sessions" => Reply::Json(201, tokens(1)),
        _ => Reply::Json(201, json!({ "id": "a" })),
    })
    .await;
    let arguments = [
        "signup",
        host.url(),
        "--setup",
        "once",
        "--email",
        "me@example.org",
        "--name",
        "Me",
        "--password-stdin",
    ];
    let outcome = host.run_with("hunter2", host.home.path(), &arguments).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(host.calls(), ["POST /v1/setup", "POST /v1/sessions"]);
    assert_eq!(host.seen()[0].body["token"], "once");
}
