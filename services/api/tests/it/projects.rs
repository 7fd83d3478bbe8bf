//! `/v1/projects`.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{Reply, on_each_database};

#[tokio::test]
async fn a_project_has_a_repository_and_addresses() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let made = ada.post("/v1/projects", &json!({ "slug": "shop" })).await;
        let location = made.header("location").unwrap();
        let project = made.expect(StatusCode::CREATED).await;
        let id = project["id"].as_str().unwrap();
        assert_eq!(location, format!("/v1/projects/{id}"));
        assert_eq!(project["git_url"], format!("ssh://git@localhost:2222/{id}"));
        assert_eq!(project["url"], format!("http://{id}.user-app.localhost"));
        assert_eq!(project["deploy_branch"], "main");
        assert_eq!((&project["auto_deploy"], &project["desired_state"]), (&json!(true), &json!("running")));
        assert_eq!(server.fakes.repositories(), 1);
        assert_eq!(ada.get(&location).await.expect(StatusCode::OK).await, project);
        assert_eq!(ada.get("/v1/projects/shop").await.expect(StatusCode::OK).await, project);
    })
    .await;
}

#[tokio::test]
async fn a_project_without_repository_leaves_nothing_behind() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        server.fakes.break_git(true);
        let answer = ada.post("/v1/projects", &json!({ "slug": "shop" })).await;
        assert!(answer.header("retry-after").is_some());
        answer.refused(503, "unavailable").await;
        let listed = ada.get("/v1/projects").await.expect(StatusCode::OK).await;
        assert_eq!(listed, json!({ "items": [] }));
        server.fakes.break_git(false);
        ada.project("shop").await;
    })
    .await;
}

#[tokio::test]
async fn a_slug_is_its_owners() {
    on_each_database(async |server| {
        let (ada, eve) = (server.user("ada").await, server.user("eve").await);
        let shop = ada.project("shop").await;
        let taken =
            ada.post("/v1/projects", &json!({ "slug": "shop" })).await.refused(409, "slug_taken").await;
        assert_eq!(taken["field"], "slug");
        eve.get("/v1/projects/shop").await.refused(404, "not_found").await;
        let unknown = eve.get("/v1/projects/01890000-0000-7000-8000-000000000000").await;
        let unknown = unknown.refused(404, "not_found").await;
        let foreign = eve.get(&format!("/v1/projects/{shop}")).await.refused(404, "not_found").await;
        assert_eq!(unknown, foreign, "not yours looks like not there");
        assert_ne!(eve.project("shop").await, shop);
    })
    .await;
}

#[tokio::test]
async fn a_change_needs_the_version_it_was_made_for() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let path = format!("/v1/projects/{}", ada.project("shop").await);
        let read = ada.get(&path).await;
        let tag = read.header("etag").unwrap();
        let change = async |tag: &str, body: serde_json::Value| {
            Reply::of(ada.request(Method::PATCH, &path).header("if-match", tag).json(&body)).await
        };
        let body =
            json!({ "slug": "store", "deploy_branch": "prod", "auto_deploy": false, "health_path": "/up" });
        let changed = change(&tag, body).await;
        assert_ne!(changed.header("etag").unwrap(), tag);
        let changed = changed.expect(StatusCode::OK).await;
        assert_eq!(changed["slug"], "store");
        assert_eq!(changed["deploy_branch"], "prod");
        assert_eq!((&changed["auto_deploy"], &changed["health_path"]), (&json!(false), &json!("/up")));
        change(&tag, json!({ "slug": "late" })).await.refused(412, "precondition").await;
        let cleared = change("*", json!({ "health_path": "" })).await.expect(StatusCode::OK).await;
        assert_eq!(cleared["health_path"], json!(null));
        assert_eq!(cleared["slug"], "store");
    })
    .await;
}

#[tokio::test]
async fn a_deleted_project_is_gone_at_once_and_its_end_can_be_followed() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let path = format!("/v1/projects/{}", ada.project("shop").await);
        let accepted = ada.delete(&path).await;
        let location = accepted.header("location").unwrap();
        let operation = accepted.expect(StatusCode::ACCEPTED).await;
        assert_eq!(operation["kind"], "delete");
        ada.get(&path).await.refused(404, "not_found").await;
        let cancel = ada.post(&format!("{location}/cancel"), &json!({})).await;
        cancel.refused(409, "not_cancellable").await;
        ada.finished(location.rsplit('/').next().unwrap()).await;
        assert_eq!(server.fakes.repositories(), 0);
        ada.project("shop").await;
    })
    .await;
}

#[tokio::test]
async fn pages_hold_every_project_once() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        for number in 0..5 {
            ada.project(&format!("app-{number}")).await;
        }
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = ada.get(&format!("/v1/projects?limit=2{cursor}")).await.expect(StatusCode::OK).await;
            let items = page["items"].as_array().unwrap();
            seen.extend(items.iter().map(|item| item["slug"].as_str().unwrap().to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            assert_eq!(items.len(), 2);
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, ["app-0", "app-1", "app-2", "app-3", "app-4"]);
        let one = ada.get("/v1/projects?slug=app-3").await.expect(StatusCode::OK).await;
        assert_eq!(one["items"].as_array().unwrap().len(), 1);
    })
    .await;
}
