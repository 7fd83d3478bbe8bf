//! `Idempotency-Key`.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Client, Reply, on_each_database};

async fn keyed(client: &Client, key: &str, path: &str, body: &Value) -> Reply {
    Reply::of(client.request(Method::POST, path).header("idempotency-key", key).json(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_equal_requests_one_takes_effect_and_all_get_its_answer() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let body = json!({ "slug": "shop" });
        let all = (0..50).map(|_| async {
            let reply = keyed(&ada, "one", "/v1/projects", &body).await;
            let head = (
                reply.status(),
                reply.header("location"),
                reply.header("etag"),
                reply.header("content-type"),
            );
            (head, reply.0.text().await.unwrap())
        });
        let answers = futures_util::future::join_all(all).await;
        assert_eq!(answers[0].0.0, 201, "{}", answers[0].1);
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        assert_eq!(server.fakes.repositories(), 1);
        let listed = ada.get("/v1/projects").await.expect(StatusCode::OK).await;
        assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_key_belongs_to_one_request_of_one_account() {
    on_each_database(async |server| {
        let (ada, eve) = (server.user("ada").await, server.user("eve").await);
        let shop = json!({ "slug": "shop" });
        let mine = keyed(&ada, "k", "/v1/projects", &shop).await.expect(StatusCode::CREATED).await;
        let other = json!({ "slug": "store" });
        keyed(&ada, "k", "/v1/projects", &other).await.refused(422, "idempotency_key_reused").await;
        let path = format!("/v1/projects/{}/deployments", mine["id"].as_str().unwrap());
        keyed(&ada, "k", &path, &shop).await.refused(422, "idempotency_key_reused").await;
        let hers = keyed(&eve, "k", "/v1/projects", &shop).await.expect(StatusCode::CREATED).await;
        assert_ne!(mine["id"], hers["id"]);
        for key in ["", "a b"] {
            keyed(&ada, key, "/v1/projects", &other).await.refused(400, "invalid_idempotency_key").await;
        }
        keyed(&server.nobody(), "k", "/v1/projects", &shop).await.refused(401, "unauthenticated").await;
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_kept_but_a_passing_failure_is_not() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let bad = json!({ "slug": "Bad" });
        let first = keyed(&ada, "bad", "/v1/projects", &bad).await.refused(422, "invalid").await;
        assert_eq!(keyed(&ada, "bad", "/v1/projects", &bad).await.refused(422, "invalid").await, first);
        let shop = json!({ "slug": "shop" });
        server.fakes.break_git(true);
        keyed(&ada, "k", "/v1/projects", &shop).await.refused(503, "unavailable").await;
        server.fakes.break_git(false);
        keyed(&ada, "k", "/v1/projects", &shop).await.expect(StatusCode::CREATED).await;
    })
    .await;
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let shop = json!({ "slug": "shop" });
        keyed(&ada, "k", "/v1/projects", &shop).await.expect(StatusCode::CREATED).await;
        server.clock.advance_ms(24 * 3600 * 1000 + 1);
        let ada = server.log_in("ada@example.org").await;
        keyed(&ada, "k", "/v1/projects", &shop).await.refused(409, "slug_taken").await;
    })
    .await;
}

#[tokio::test]
async fn a_request_that_takes_long_still_has_its_key() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let shop = json!({ "slug": "shop" });
        let held = server.fakes.hold_git().await;
        let first = keyed(&ada, "k", "/v1/projects", &shop);
        let second = async {
            while server.fakes.repositories() == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            server.clock.advance_ms(2 * 60_000);
            let answer = keyed(&ada, "k", "/v1/projects", &shop);
            let release = async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                drop(held);
            };
            futures_util::future::join(answer, release).await.0
        };
        let (first, second) = futures_util::future::join(first, second).await;
        let made = first.expect(StatusCode::CREATED).await;
        assert_eq!(second.expect(StatusCode::CREATED).await, made);
        assert_eq!(server.fakes.repositories(), 1);
    })
    .await;
}
