//! Commands that are one call of the API: what is asked, what is shown, the exit code.

use serde_json::{Value, json};

use crate::host::{Host, Outcome, Reply};

/// A command, the call it makes, and what a person reads of the answer.
struct Case {
    arguments: &'static [&'static str],
    stdin: &'static str,
    call: &'static str,
    request: Value,
    answer: (u16, Value),
    shown: &'static str,
}

fn case(arguments: &'static [&'static str], call: &'static str) -> Case {
    Case { arguments, stdin: "", call, request: Value::Null, answer: (200, Value::Null), shown: "" }
}

impl Case {
    fn sends(self, request: Value) -> Self {
        Self { request, ..self }
    }

    fn reads(self, stdin: &'static str) -> Self {
        Self { stdin, ..self }
    }

    fn answered(self, status: u16, body: Value) -> Self {
        Self { answer: (status, body), ..self }
    }

    fn shows(self, shown: &'static str) -> Self {
        Self { shown, ..self }
    }

    /// Runs it with the answer, or another one in its place, and `more` behind it.
    async fn run(&self, answer: (u16, Value), more: &[&str]) -> (Host, Outcome) {
        let call = self.call;
        let host = Host::logged_in(move |seen| match &seen.call {
            seen if seen == call => Reply::Json(answer.0, answer.1.clone()),
            seen if seen.starts_with("GET /v1/accounts?email=") => Reply::ok(found(seen)),
            _ => Reply::problem(500, "nobody should ask this"),
        })
        .await;
        let arguments = [self.arguments, more].concat();
        let outcome = host.run_with(self.stdin, host.home.path(), &arguments).await;
        (host, outcome)
    }
}

fn builders() -> Value {
    let packs = json!([{ "id": "a/b", "version": "0.1.0" }]);
    let builder = json!({
        "image": "a/builder:1", "run_image": "a/run:1", "platform_api": "0.14", "buildpacks": packs,
    });
    json!({ "items": [builder], "allowed": ["b/builder*"] })
}

fn release() -> Value {
    json!({
        "id": "r-3", "seq": 3, "commit": "0123", "configuration_version": 1, "reason": "push", "created_at": 9_000_000_000_000_000i64,
        "deployed_at": 1, "active": true,
        "image": {
            "size_bytes": 42_000_000, "port": 80, "builder": "paastech/builder:12",
            "processes": [{ "name": "web", "declared": "gunicorn app:app" }],
            "buildpacks": [{ "id": "paastech/python", "version": "0.1.0" }],
        },
    })
}

fn accounts() -> Value {
    json!({ "items": [
        { "id": "a-1", "email": "root@example.org", "name": "Root", "role": "administrator", "trusted": false },
        { "id": "a-2", "email": "ada@example.org", "name": "Ada", "role": "user", "trusted": true },
    ] })
}

/// Those of the accounts that a question by address finds.
fn found(call: &str) -> Value {
    let all = accounts();
    let wanted = call.split_once('=').unwrap().1.replace("%40", "@").replace("%2E", ".");
    let is_wanted = |account: &&Value| account["email"] == wanted;
    json!({ "items": all["items"].as_array().unwrap().iter().filter(is_wanted).collect::<Vec<_>>() })
}

fn project() -> Value {
    json!({ "id": "p-1", "slug": "store", "url": "http://shop.example", "deploy_branch": "main",
            "auto_deploy": false, "health_path": "/healthz" })
}

fn operation(state: &str) -> Value {
    json!({ "id": "o-1", "kind": "deploy", "state": state, "step": "start", "created_at": 0,
            "url": "http://shop.example" })
}

fn cases() -> Vec<Case> {
    vec![
        case(&["invite", "--email", "new@example.org"], "POST /v1/invitations")
            .sends(json!({ "email": "new@example.org" }))
            .answered(201, json!({ "id": "i", "token": "inv-1", "expires_at": 0 }))
            .shows("inv-1\n"),
        case(&["invite"], "POST /v1/invitations")
            .sends(json!({}))
            .answered(201, json!({ "id": "i", "token": "inv-1", "expires_at": 0 }))
            .shows("inv-1\n"),
        case(&["accounts", "list"], "GET /v1/accounts").answered(200, accounts()).shows(
            "E-MAIL            NAME  ROLE           TRUSTED\n\
             root@example.org  Root  administrator  no\n\
             ada@example.org   Ada   user           yes\n",
        ),
        case(&["accounts", "trust", "root@example.org"], "PATCH /v1/accounts/a-1")
            .sends(json!({ "trusted": true }))
            .answered(200, json!({ "id": "a-1", "trusted": true }))
            .shows("root@example.org is trusted\n"),
        case(&["accounts", "untrust", "ada@example.org"], "PATCH /v1/accounts/a-2")
            .sends(json!({ "trusted": false }))
            .answered(200, json!({ "id": "a-2", "trusted": false }))
            .shows("ada@example.org is not trusted\n"),
        case(&["password", "--password-stdin"], "PUT /v1/account/password")
            .reads("the old one\nthe new one\n")
            .sends(json!({ "current": "the old one", "new": "the new one" }))
            .answered(204, Value::Null)
            .shows("password changed\n"),
        case(&["stop", "-d", "-p", "shop"], "POST /v1/projects/shop/stop")
            .sends(json!({}))
            .answered(202, operation("queued"))
            .shows("operation o-1\nfollow it: paastech operation o-1 --follow\n"),
        case(&["start", "-d", "-p", "shop"], "POST /v1/projects/shop/start")
            .sends(json!({}))
            .answered(202, operation("queued"))
            .shows("operation o-1\nfollow it: paastech operation o-1 --follow\n"),
        case(&["builds", "-p", "shop"], "GET /v1/projects/shop/builds?limit=20")
            .answered(200, json!({ "items": [] }))
            .shows("no builds yet: git push, or `paastech deploy`\n"),
        case(&["builds", "cancel", "o-1"], "POST /v1/operations/o-1/cancel")
            .sends(json!({}))
            .answered(202, operation("running"))
            .shows("asked operation o-1 to stop\n"),
        case(&["builder", "list"], "GET /v1/builders").answered(200, builders()).shows(
            "BUILDER      RUN IMAGE  BUILDPACKS\na/builder:1  a/run:1    1\n\
             a repository may also name: b/builder*\n",
        ),
        case(&["builds", "clear-cache", "-p", "shop"], "DELETE /v1/projects/shop/cache")
            .answered(204, Value::Null)
            .shows("the build cache is cleared\n"),
        case(&["releases", "show", "v3", "-p", "shop"], "GET /v1/projects/shop/releases/3")
            .answered(200, release())
            .shows(
                "release:    v3\ncommit:     0123\nreason:     push\nmade:       0 s ago\nsize:       42 MB\n\
                 port:       80\nbuilder:    paastech/builder:12\nbuildpacks: paastech/python 0.1.0\n\
                 processes:  web (gunicorn app:app)\n",
            ),
        case(&["rename", "store", "-p", "shop"], "PATCH /v1/projects/shop")
            .sends(json!({ "slug": "store" }))
            .answered(200, project())
            .shows("renamed to store\n"),
        case(&["settings", "-p", "shop"], "GET /v1/projects/shop").answered(200, project()).shows(
            "project:       store\nid:            p-1\nurl:           http://shop.example\n\
             deploy branch: main\nauto deploy:   off\nhealth path:   /healthz\n",
        ),
        case(
            &["settings", "-p", "shop", "--auto-deploy", "off", "--health-path", "", "--deploy-branch", "x"],
            "PATCH /v1/projects/shop",
        )
        .sends(json!({ "auto_deploy": false, "health_path": "", "deploy_branch": "x" }))
        .answered(200, json!({ "id": "p-1", "slug": "store" }))
        .shows("project:       store\nid:            p-1\n"),
        case(&["operations", "-p", "shop", "-n", "5"], "GET /v1/projects/shop/operations?limit=5")
            .answered(200, json!({ "items": [] }))
            .shows("no operations yet\n"),
        case(&["operation", "o-1"], "GET /v1/operations/o-1").answered(200, operation("running")),
        case(&["cancel", "o-1"], "POST /v1/operations/o-1/cancel")
            .sends(json!({}))
            .answered(202, operation("running"))
            .shows("asked operation o-1 to stop\n"),
    ]
}

#[tokio::test]
async fn each_asks_its_question_and_shows_the_answer() {
    for case in cases() {
        let (host, outcome) = case.run(case.answer.clone(), &[]).await;
        assert_eq!(outcome.code, Some(0), "{:?}: {outcome:?}", case.arguments);
        assert_eq!(host.seen_call(case.call).body, case.request, "{:?}", case.arguments);
        if !case.shown.is_empty() {
            assert_eq!(outcome.stdout, case.shown, "{:?}", case.arguments);
        }
    }
}

#[tokio::test]
async fn with_json_the_answer_is_passed_on() {
    for case in cases() {
        let (_host, outcome) = case.run(case.answer.clone(), &["--json"]).await;
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{:?}", case.arguments);
        assert_eq!(outcome.json(), case.answer.1, "{:?}", case.arguments);
    }
}

#[tokio::test]
async fn a_refusal_is_the_exit_code_of_each() {
    for case in cases() {
        let problem = json!({ "status": 403, "code": "forbidden", "title": "T", "detail": "you may not" });
        let (_host, outcome) = case.run((403, problem), &[]).await;
        let seen = (outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str());
        assert_eq!(seen, (Some(3), "", "error: you may not\n"), "{:?}", case.arguments);
    }
}

#[tokio::test]
async fn an_operation_is_shown_with_its_step_while_it_runs_and_its_reason_at_the_end() {
    let shown = async |body: Value| {
        let host = Host::logged_in(move |_| Reply::ok(body.clone())).await;
        host.run(&["operation", "o-1"]).await.stdout
    };
    let running = shown(operation("running")).await;
    assert!(running.contains("state:     running\nstep:      start\n"), "{running}");
    let mut failed = operation("failed");
    failed["error"] = json!({ "code": "x", "message": "it never listened" });
    let failed = shown(failed).await;
    assert!(failed.contains("error:     it never listened\n") && !failed.contains("step:"), "{failed}");
}

#[tokio::test]
async fn a_builder_is_shown_alone() {
    let host = Host::logged_in(move |_| Reply::ok(builders())).await;
    let shown = host.run(&["builder", "inspect"]).await.stdout;
    assert_eq!(
        shown,
        "builder:      a/builder:1\nrun image:    a/run:1\nplatform api: 0.14\nbuildpack:    a/b 0.1.0\n"
    );
    let json: Value =
        serde_json::from_str(&host.run(&["builder", "inspect", "--json"]).await.stdout).unwrap();
    assert_eq!(json, builders()["items"][0]);
    let unknown = host.run(&["builder", "inspect", "a/other"]).await;
    assert_eq!(unknown.code, Some(4));
    assert!(unknown.stderr.contains("paastech builder list"), "{}", unknown.stderr);
}

#[tokio::test]
async fn without_a_name_it_is_the_newest_build_that_fits() {
    let mut ended = operation("done");
    ended["id"] = json!("o-2");
    let host = Host::logged_in(move |seen| match seen.call.as_str() {
        "GET /v1/projects/shop/builds?limit=20" => {
            Reply::ok(json!({ "items": [ended, operation("running")] }))
        }
        "GET /v1/operations/o-2" => Reply::ok(ended.clone()),
        "GET /v1/operations/o-2/log?follow=false" => {
            Reply::Lines(vec![json!({ "seq": 1, "at": 1, "text": "built" })])
        }
        "POST /v1/operations/o-1/cancel" => Reply::Json(202, operation("undoing")),
        _ => Reply::problem(500, "nobody should ask this"),
    })
    .await;
    let shown = host.run(&["builds", "show", "-p", "shop"]).await.stdout;
    assert!(shown.starts_with("operation: o-2\n"), "{shown}");
    assert_eq!(host.run(&["builds", "log", "-p", "shop"]).await.stdout, "built\n");
    let cancelled = host.run(&["builds", "cancel", "-p", "shop"]).await.stdout;
    assert_eq!(cancelled, "asked operation o-1 to stop\n");
}

#[tokio::test]
async fn operations_are_a_table() {
    let mut failed = operation("failed");
    failed["error"] = json!({ "code": "x", "message": "it never listened" });
    let host = Host::logged_in(move |_| Reply::ok(json!({ "items": [failed] }))).await;
    let table = host.run(&["operations", "-p", "shop"]).await.stdout;
    let row = table.lines().nth(1).unwrap_or_default();
    assert!(row.starts_with("o-1        deploy  failed"), "{table}");
    assert!(row.ends_with("it never listened"), "{table}");
}

#[tokio::test]
async fn an_unknown_address_is_trusted_by_nobody() {
    let host = Host::logged_in(|seen| Reply::ok(found(&seen.call))).await;
    let outcome = host.run(&["accounts", "trust", "eve@example.org"]).await;
    assert_eq!(outcome.code, Some(4), "{outcome:?}");
    assert_eq!(host.calls(), ["GET /v1/accounts?email=eve%40example%2Eorg"]);
}

#[tokio::test]
async fn the_version_is_known_with_a_server_and_without() {
    let host = Host::start(|_| Reply::ok(json!({ "version": "9.9.9" }))).await;
    let outcome = host.run(&["version", "--api", host.url(), "--json"]).await;
    let own = env!("CARGO_PKG_VERSION");
    assert_eq!(outcome.json(), json!({ "client": own, "server": { "version": "9.9.9" } }), "{outcome:?}");
    assert_eq!(host.seen_call("GET /v1/version").token, None);
    let alone = host.run(&["version", "--api", "http://127.0.0.1:1"]).await;
    assert_eq!(alone.code, Some(0), "{alone:?}");
    assert!(alone.stdout.ends_with("server: not reachable\n"), "{alone:?}");
}
