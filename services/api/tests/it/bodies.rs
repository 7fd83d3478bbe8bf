//! Requests that cannot be read, or hold what they must not: one refusal each, nothing changed.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{Client, Reply, on_each_database};

async fn raw(client: &Client, kind: &str, body: impl Into<reqwest::Body>) -> Reply {
    let request = client.request(Method::POST, "/v1/projects").header("content-type", kind);
    Reply::of(request.body(body)).await
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        for body in ["", "{", "{\"slug\":", "[1", "nonsense", "{'slug':'a'}", "\u{feff}{}"] {
            raw(&ada, "application/json", body).await.refused(400, "malformed").await;
        }
        raw(&ada, "application/json", vec![0xff, 0xfe]).await.refused(400, "malformed").await;
        for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
            raw(&ada, kind, "{\"slug\":\"a\"}").await.refused(415, "unsupported_media_type").await;
        }
        let listed = ada.get("/v1/projects").await.expect(StatusCode::OK).await;
        assert_eq!(listed, json!({ "items": [] }));
    })
    .await;
}

#[tokio::test]
async fn a_field_of_the_wrong_type_or_name_is_named() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        for (body, field) in [
            (json!({}), "slug"),
            (json!({ "slug": 1 }), "slug"),
            (json!({ "slug": null }), "slug"),
            (json!({ "slug": "Shop" }), "slug"),
            (json!({ "slug": "../etc" }), "slug"),
            (json!({ "slug": "a;id" }), "slug"),
            (json!({ "slug": "$(id)" }), "slug"),
            (json!({ "slug": "shop", "owner_id": "x" }), "owner_id"),
            (json!({ "slug": "shop", "auto_deploy": "yes" }), "auto_deploy"),
            (json!({ "slug": "shop", "deploy_branch": "-x" }), "deploy_branch"),
            (json!({ "slug": "shop", "health_path": "up" }), "health_path"),
            (json!({ "slug": "shop", "health_path": "/a b" }), "health_path"),
        ] {
            let problem = ada.post("/v1/projects", &body).await.refused(422, "invalid").await;
            assert_eq!(problem["field"], field, "{body}");
        }
        ada.post("/v1/projects", &json!(["shop"])).await.refused(422, "invalid").await;
    })
    .await;
}

#[tokio::test]
async fn a_body_of_twenty_megabytes_is_refused_and_its_sender_hears_it() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let body = format!("{{\"slug\":\"{}\"}}", "a".repeat(20_000_000));
        raw(&ada, "application/json", body.clone()).await.refused(413, "too_large").await;
        let keyed = ada.request(Method::POST, "/v1/projects").header("idempotency-key", "k");
        let keyed = keyed.header("content-type", "application/json").body(body);
        Reply::of(keyed).await.refused(413, "too_large").await;
    })
    .await;
}

#[tokio::test]
async fn a_query_or_path_that_cannot_be_is_refused() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        for query in [
            "limit=0",
            "limit=101",
            "limit=x",
            "limit=-1",
            "cursor=x",
            "slug=A",
            "colour=red",
            "limit=1&limit=2",
        ] {
            ada.get(&format!("/v1/projects?{query}")).await.refused(400, "invalid_query").await;
        }
        for path in [
            "/v1/projects/%00",
            "/v1/projects/a%2Fb",
            "/v1/projects/%ff",
            "/v1/ssh-keys/x",
            "/v1/operations/..%2f",
            "/nowhere",
        ] {
            ada.get(path).await.refused(404, "not_found").await;
        }
        let wrong = ada.delete("/v1/version").await;
        assert!(wrong.header("allow").unwrap().contains("GET"));
        wrong.refused(405, "method_not_allowed").await;
    })
    .await;
}
