//! The documented exit codes, and how an error reads.

use serde_json::json;

use crate::host::{Host, Reply};

#[tokio::test]
async fn a_status_becomes_the_documented_code() {
    for (status, code) in [(401, 3), (403, 3), (404, 4), (409, 1), (422, 1), (429, 5), (500, 1), (503, 5)] {
        let host = Host::logged_in(move |seen| match seen.call.as_str() {
            "GET /v1/projects/shop" => Reply::problem(status, "the detail"),
            _ => Reply::ok(
                json!({ "access_token": "access-2", "refresh_token": "refresh-2", "expires_in": 900 }),
            ),
        })
        .await;
        let outcome = host.run(&["open", "-p", "shop"]).await;
        assert_eq!(outcome.code, Some(code), "{status}: {outcome:?}");
        assert!(outcome.stderr.starts_with("error: the detail\n"), "{outcome:?}");
        assert_eq!(outcome.stdout, "");
    }
}

#[tokio::test]
async fn the_offending_field_is_named_and_json_passes_the_problem_on() {
    let body = json!({ "status": 422, "code": "invalid", "title": "T", "detail": "must begin with a letter",
                       "field": "slug" });
    let host = Host::logged_in(move |_| Reply::Json(422, body.clone())).await;
    let plain = host.run(&["create", "1shop", "--no-remote"]).await;
    assert_eq!(plain.stderr, "error: slug: must begin with a letter\n");
    let json = host.run(&["create", "1shop", "--no-remote", "--json"]).await;
    let problem: serde_json::Value = serde_json::from_str(&json.stderr).unwrap();
    assert_eq!((problem["code"].as_str(), problem["field"].as_str()), (Some("invalid"), Some("slug")));
}

#[tokio::test]
async fn what_was_not_found_is_named() {
    let body = json!({ "status": 404, "code": "not_found", "title": "T", "detail": "there is nothing here" });
    let host = Host::logged_in(move |_| Reply::Json(404, body.clone())).await;
    let outcome = host.run(&["open", "-p", "shop"]).await;
    assert!(outcome.stderr.starts_with("error: there is nothing here: /v1/projects/shop\n"), "{outcome:?}");
}

#[tokio::test]
async fn the_hint_to_what_was_not_found_is_of_its_kind() {
    let host = Host::logged_in(|_| Reply::problem(404, "there is nothing here")).await;
    let cases: [(&[&str], Option<&str>); 3] = [
        (&["open", "-p", "shop"], Some("`paastech projects` lists the projects you can see")),
        (&["operation", "o-1"], Some("`paastech operations` lists a project's operations")),
        (&["accounts", "list"], None),
    ];
    for (arguments, hint) in cases {
        let text = hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
        let plain = host.run(arguments).await.stderr;
        assert_eq!(plain, format!("error: there is nothing here\n{text}"), "{arguments:?}");
        let json = host.run(&[arguments, &["--json"]].concat()).await.stderr;
        let problem: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(problem["hint"].as_str(), hint, "{arguments:?}");
    }
}

#[tokio::test]
async fn wrong_use_is_2_and_sends_nothing() {
    let host = Host::logged_in(|_| Reply::ok(json!({}))).await;
    let wrong: [&[&str]; 7] = [
        &["no-such-command"],
        &["config", "set"],
        &["open", "-p", "../etc"],
        &["logs", "-p", "shop", "--since", "yesterday"],
        &["status"],
        &["--api", "not-an-address", "projects"],
        &["projects", "--api", "http://a.example", "--socket", "/x"],
    ];
    for arguments in wrong {
        let outcome = host.run(arguments).await;
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {outcome:?}");
    }
    assert!(host.seen().is_empty());
}

#[tokio::test]
async fn nobody_at_the_address_is_5() {
    let host = Host::start(|_| Reply::Cut).await;
    // Port 1 of this machine: nobody listens.
    let outcome = host.run(&["login", "http://127.0.0.1:1", "--email", "a@b", "--password-stdin"]).await;
    assert_eq!(outcome.code, Some(2), "no password: {outcome:?}");
    let folder = host.home.path();
    let arguments = ["login", "http://127.0.0.1:1", "--email", "a@b", "--password-stdin"];
    let outcome = host.run_with("secret\n", folder, &arguments).await;
    assert_eq!(outcome.code, Some(5), "{outcome:?}");
    assert!(outcome.stderr.contains("Connection refused"), "{outcome:?}");
}

#[tokio::test]
async fn a_post_cut_off_is_sent_again_with_its_key() {
    let tries = std::sync::atomic::AtomicUsize::new(0);
    let host = Host::logged_in(move |_| match tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => Reply::Cut,
        _ => Reply::Json(201, json!({ "id": "i", "slug": "shop" })),
    })
    .await;
    let outcome = host.run(&["create", "shop", "--no-remote"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let seen = host.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen[0].key.is_some());
    assert_eq!(seen[0].key, seen[1].key);
}

#[tokio::test]
async fn a_new_password_cut_off_is_not_sent_again() {
    let host = Host::logged_in(|_| Reply::Cut).await;
    let folder = host.home.path();
    let outcome = host.run_with("old\nnew\n", folder, &["password", "--password-stdin"]).await;
    assert_eq!(outcome.code, Some(5), "{outcome:?}");
    assert_eq!(host.calls(), ["PUT /v1/account/password"]);
}

#[tokio::test]
async fn a_delete_cut_off_is_not_sent_again() {
    let host = Host::logged_in(|seen| match seen.call.as_str() {
        "GET /v1/projects/shop" => Reply::ok(json!({ "id": "i", "slug": "shop" })),
        _ => Reply::Cut,
    })
    .await;
    let outcome = host.run(&["delete", "-p", "shop", "--yes"]).await;
    assert_eq!(outcome.code, Some(5), "{outcome:?}");
    assert_eq!(host.calls(), ["GET /v1/projects/shop", "DELETE /v1/projects/i"]);
}
