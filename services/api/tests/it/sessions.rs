//! `/v1/sessions`, and what a token is good for.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{PASSWORD, Server, on_each_database};

async fn session(server: &Server, email: &str) -> Value {
    let body = json!({ "email": email, "password": PASSWORD });
    server.nobody().post("/v1/sessions", &body).await.expect(StatusCode::CREATED).await
}

async fn refresh(server: &Server, token: &Value) -> crate::harness::Reply {
    server.nobody().post("/v1/sessions/refresh", &json!({ "refresh_token": token })).await
}

async fn status(server: &Server, session: &Value) -> u16 {
    let client = server.nobody().with_token(session["access_token"].as_str().unwrap());
    client.get("/v1/account").await.status()
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_look_the_same() {
    on_each_database(async |server| {
        server.user("ada").await;
        let ask = async |email: &str, password: &str| {
            let body = json!({ "email": email, "password": password });
            server.nobody().post("/v1/sessions", &body).await.refused(401, "unauthenticated").await
        };
        let wrong = ask("ada@example.org", "not the right password").await;
        assert_eq!(wrong, ask("eve@example.org", PASSWORD).await);
    })
    .await;
}

#[tokio::test]
async fn a_refresh_token_used_twice_ends_its_session() {
    on_each_database(async |server| {
        server.user("ada").await;
        let first = session(server, "ada@example.org").await;
        let other = session(server, "ada@example.org").await;
        let second = refresh(server, &first["refresh_token"]).await.expect(StatusCode::OK).await;
        assert_eq!(status(server, &second).await, 200);
        refresh(server, &first["refresh_token"]).await.refused(401, "unauthenticated").await;
        assert_eq!(status(server, &second).await, 401, "the thief's and the owner's tokens alike");
        refresh(server, &second["refresh_token"]).await.refused(401, "unauthenticated").await;
        assert_eq!(status(server, &other).await, 200, "another session goes on");
    })
    .await;
}

#[tokio::test]
async fn an_access_token_expires_and_can_be_renewed() {
    on_each_database(async |server| {
        server.user("ada").await;
        let session = session(server, "ada@example.org").await;
        assert_eq!(session["expires_in"], 600);
        server.clock.advance_ms(601_000);
        assert_eq!(status(server, &session).await, 401);
        let renewed = refresh(server, &session["refresh_token"]).await.expect(StatusCode::OK).await;
        assert_eq!(status(server, &renewed).await, 200);
        server.clock.advance_ms(8 * 24 * 3600 * 1000);
        refresh(server, &renewed["refresh_token"]).await.refused(401, "unauthenticated").await;
    })
    .await;
}

#[tokio::test]
async fn a_forged_token_is_nobody() {
    on_each_database(async |server| {
        server.user("ada").await;
        let good = session(server, "ada@example.org").await;
        let good = good["access_token"].as_str().unwrap();
        let [header, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
        let mut other: Value =
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        other["exp"] = json!(4_000_000_000_u64);
        let other = BASE64_URL_SAFE_NO_PAD.encode(other.to_string());
        let none = BASE64_URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"none"}"#);
        let hmac = BASE64_URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"HS256"}"#);
        for forged in [
            format!("{header}.{other}.{signature}"),
            format!("{none}.{claims}."),
            format!("{hmac}.{claims}.{signature}"),
            format!("{header}.{claims}."),
            "pt_refresh_00".to_owned(),
            String::new(),
            "é".to_owned(),
        ] {
            let answer = server.nobody().with_token(&forged).get("/v1/account").await;
            assert_eq!(answer.header("www-authenticate").as_deref(), Some("Bearer"));
            answer.refused(401, "unauthenticated").await;
        }
    })
    .await;
}

#[tokio::test]
async fn logging_out_ends_one_session_or_all() {
    on_each_database(async |server| {
        server.user("ada").await;
        let (a, b, c) = (
            session(server, "ada@example.org").await,
            session(server, "ada@example.org").await,
            session(server, "ada@example.org").await,
        );
        let client = |session: &Value| server.nobody().with_token(session["access_token"].as_str().unwrap());
        assert_eq!(client(&a).delete("/v1/sessions/current").await.status(), 204);
        assert_eq!((status(server, &a).await, status(server, &b).await), (401, 200));
        assert_eq!(client(&b).delete("/v1/sessions").await.status(), 204);
        assert_eq!((status(server, &b).await, status(server, &c).await), (401, 401));
    })
    .await;
}
