//! `/v1/accounts`, `/v1/account`, `/v1/invitations`.

use paastech_api::config::SignUp;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{PASSWORD, on_each_database, on_each_database_with};

#[tokio::test]
async fn sign_up_is_closed_but_to_administrators_and_the_invited() {
    on_each_database_with(
        |config| config.sign_up = SignUp::Closed,
        async |server| {
            let root = server.administrator().await;
            let body =
                |name: &str| json!({ "email": format!("{name}@x.org"), "name": name, "password": PASSWORD });
            server.nobody().post("/v1/accounts", &body("ada")).await.refused(403, "sign_up_closed").await;
            root.post("/v1/accounts", &body("ada")).await.expect(StatusCode::CREATED).await;

            let made = root.post("/v1/invitations", &json!({ "email": "Bob@x.org" })).await;
            let made = made.expect(StatusCode::CREATED).await;
            let mut bob = body("bob");
            bob["invitation"] = made["token"].clone();
            let mut eve = body("eve");
            eve["invitation"] = made["token"].clone();
            server.nobody().post("/v1/accounts", &eve).await.refused(422, "invalid").await;
            server.nobody().post("/v1/accounts", &bob).await.expect(StatusCode::CREATED).await;
            let mut again = body("carol");
            again["invitation"] = made["token"].clone();
            server.nobody().post("/v1/accounts", &again).await.refused(422, "invalid").await;

            let mut known = body("ada");
            known["invitation"] = json!("pt_invite_made_up");
            let problem = server.nobody().post("/v1/accounts", &known).await.refused(422, "invalid").await;
            assert_eq!(problem["field"], "invitation", "a stranger learns of no account");

            let listed = root.get("/v1/invitations").await.expect(StatusCode::OK).await;
            assert!(listed["items"][0]["used_at"].is_i64());
            assert!(!listed.to_string().contains(made["token"].as_str().unwrap()), "shown once");
        },
    )
    .await;
}

#[tokio::test]
async fn an_expired_or_withdrawn_invitation_is_refused() {
    on_each_database_with(
        |config| config.sign_up = SignUp::Invite,
        async |server| {
            let root = server.administrator().await;
            let invite =
                async || root.post("/v1/invitations", &json!({})).await.expect(StatusCode::CREATED).await;
            let accept = async |token: &serde_json::Value| {
                let body =
                    json!({ "email": "b@x.org", "name": "B", "password": PASSWORD, "invitation": token });
                server.nobody().post("/v1/accounts", &body).await.refused(422, "invalid").await
            };
            let withdrawn = invite().await;
            let path = format!("/v1/invitations/{}", withdrawn["id"].as_str().unwrap());
            assert_eq!(root.delete(&path).await.status(), 204);
            assert_eq!(root.delete(&path).await.status(), 404);
            accept(&withdrawn["token"]).await;
            let late = invite().await;
            server.clock.advance_ms(8 * 24 * 3600 * 1000);
            accept(&late["token"]).await;
        },
    )
    .await;
}

#[tokio::test]
async fn the_same_address_in_other_letters_is_taken() {
    on_each_database(async |server| {
        server.user("ada").await;
        let body = json!({ "email": "ADA@Example.org", "name": "Ada", "password": PASSWORD });
        let problem = server.nobody().post("/v1/accounts", &body).await.refused(409, "email_taken").await;
        assert_eq!(problem["field"], "email");
    })
    .await;
}

#[tokio::test]
async fn a_short_password_is_refused_with_the_rule() {
    on_each_database(async |server| {
        let body = json!({ "email": "a@x.org", "name": "A", "password": "short" });
        let problem = server.nobody().post("/v1/accounts", &body).await.refused(422, "invalid").await;
        assert_eq!(problem["field"], "password");
        assert!(problem["detail"].as_str().unwrap().contains("15"), "{problem}");
    })
    .await;
}

#[tokio::test]
async fn another_password_ends_every_other_session() {
    on_each_database(async |server| {
        let here = server.user("ada").await;
        let there = server.log_in("ada@example.org").await;
        let change = |current: &str| json!({ "current": current, "new": "another long passphrase" });
        let wrong = here.send(Method::PUT, "/v1/account/password", &change("not the one at all")).await;
        assert_eq!(wrong.refused(422, "invalid").await["field"], "current");
        assert_eq!(here.send(Method::PUT, "/v1/account/password", &change(PASSWORD)).await.status(), 204);
        here.get("/v1/account").await.expect(StatusCode::OK).await;
        there.get("/v1/account").await.refused(401, "unauthenticated").await;
        let old = json!({ "email": "ada@example.org", "password": PASSWORD });
        server.nobody().post("/v1/sessions", &old).await.refused(401, "unauthenticated").await;
    })
    .await;
}

#[tokio::test]
async fn an_administrator_lists_and_trusts_accounts() {
    on_each_database(async |server| {
        let root = server.administrator().await;
        let user = server.user("ada").await;
        let id =
            user.get("/v1/account").await.expect(StatusCode::OK).await["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/accounts/{id}");
        let trusted = root.send(Method::PATCH, &path, &json!({ "trusted": true })).await;
        assert_eq!(trusted.expect(StatusCode::OK).await["trusted"], true);
        let listed = root.get("/v1/accounts").await.expect(StatusCode::OK).await;
        assert_eq!(listed["items"].as_array().unwrap().len(), 2);
        assert!(!listed.to_string().contains("argon2"), "no hash is shown");
        let found = root.get("/v1/accounts?email=Ada@Example.org").await.expect(StatusCode::OK).await;
        assert_eq!(found["items"].as_array().unwrap().len(), 1);
        assert_eq!(found["items"][0]["id"], id);
        let nobody = root.get("/v1/accounts?email=eve@example.org").await.expect(StatusCode::OK).await;
        assert_eq!(nobody, json!({ "items": [] }));
    })
    .await;
}
