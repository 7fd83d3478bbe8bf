//! `doctor` on an installation that is well, and on one that is not.

use serde_json::Value;

use super::Admin;
use crate::{
    fakes::Fakes,
    harness::{Server, on_each_database},
};

async fn findings(admin: &Admin) -> (Option<i32>, Vec<Value>) {
    let ended = admin.run(&["doctor", "--json"]).await;
    (ended.code, serde_json::from_str(&ended.out).expect("JSON"))
}

/// The finding with this text is as bad as `level`, and says what to do.
fn finds(findings: &[Value], level: &str, what: &str) {
    let found = findings.iter().find(|one| one["what"].as_str().unwrap().contains(what));
    let found = found.unwrap_or_else(|| panic!("{what}: {findings:#?}"));
    assert_eq!(found["level"], level, "{found}");
    assert!(!found["next"].as_str().unwrap().is_empty(), "{found}");
}

/// As the server's own, but at the address that it got.
async fn admin_of(server: &Server) -> Admin {
    let listen = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    Admin::on(paastech_api::Config { listen, ..server.config.clone() }, &server.fakes).await
}

#[tokio::test]
async fn an_installation_that_is_well_needs_nothing() {
    on_each_database(async |server| {
        let client = server.user("ada").await;
        client.deploy(&client.project("one").await).await;
        let admin = admin_of(server).await;
        let (code, found) = findings(&admin).await;
        assert_eq!(code, Some(0), "{found:#?}");
        assert!(found.iter().all(|one| one["level"] == "ok"), "{found:#?}");
        for check in [
            "configuration",
            "database",
            "clock",
            "keys",
            "api",
            "git-controller",
            "pomegranate",
            "disk",
            "operations",
            "repositories",
            "apps",
        ] {
            assert!(found.iter().any(|one| one["check"] == check), "{check}");
        }
        admin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_does_not_belong_together_is_found_and_named() {
    on_each_database(async |server| {
        let client = server.user("ada").await;
        let lost = client.project("lost").await;
        let down = client.project("down").await;
        client.deploy(&down).await;
        server.fakes.lose_repositories();
        server.fakes.fill_repository("0193e0c4-8f00-7000-8000-123456789000", b"");
        server.fakes.lose_containers();
        server.fakes.run_stranger();
        let admin = admin_of(server).await;
        let (code, found) = findings(&admin).await;
        assert_eq!(code, Some(1));
        finds(&found, "error", &format!("project {lost} (lost) has no repository"));
        finds(&found, "warning", "0193e0c4-8f00-7000-8000-123456789000.git belongs to no project");
        finds(&found, "error", &format!("project {down} (down) should run, but does not"));
        finds(&found, "warning", "container pt-stranger is of a release that no project has");
        let text = admin.run(&["doctor"]).await.out;
        assert!(text.contains(&format!("-> deploy it again: `paastech deploy --project {down}`")), "{text}");
        admin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn who_does_not_answer_is_named() {
    on_each_database(async |server| {
        let admin = Admin::on(server.config.clone(), &Fakes::default()).await;
        admin.shutdown.stop(std::time::Duration::from_secs(5)).await;
        let (code, found) = findings(&admin).await;
        assert_eq!(code, Some(1));
        for check in ["git-controller", "pomegranate", "api"] {
            let one = found.iter().find(|one| one["check"] == check).unwrap();
            assert!(one["level"] == "error" && !one["next"].as_str().unwrap().is_empty(), "{one}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_operation_that_nobody_carries_on_is_found() {
    on_each_database(async |server| {
        let client = server.user("ada").await;
        let project = client.project("one").await;
        client.deploy(&project).await;
        // Nobody claims any more.
        server.start_drain();
        let statement = "UPDATE operation SET state = 'running', lease_owner = 'gone', next_run_at = 1, lease_expires = 1";
        server.execute(statement.to_owned()).await;
        let admin = Admin::of(server).await;
        let (_, found) = findings(&admin).await;
        finds(&found, "error", &format!("of project {project} is running and nobody works on it"));
        admin.stop().await;
    })
    .await;
}
