//! How often one may call.

use paastech_api::config::{Limits, Rate};
use serde_json::json;

use crate::harness::{PASSWORD, on_each_database_with};

#[tokio::test]
async fn guessing_a_password_is_slowed_down() {
    on_each_database_with(
        |config| config.limits.login = Limits::default().login,
        async |server| {
            server.user("eve").await;
            server
                .nobody()
                .post("/v1/accounts", &json!({ "email": "a@x.org", "name": "A", "password": PASSWORD }))
                .await;
            let guess = json!({ "email": "a@x.org", "password": "guess guess guess" });
            for _ in 0..5 {
                server.nobody().post("/v1/sessions", &guess).await.refused(401, "unauthenticated").await;
            }
            let refused = server.nobody().post("/v1/sessions", &guess).await;
            let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=900).contains(&wait), "{wait}");
            refused.refused(429, "too_many_requests").await;
            server.log_in("eve@example.org").await;
        },
    )
    .await;
}

#[tokio::test]
async fn an_account_and_a_stranger_have_their_limits() {
    on_each_database_with(
        |config| {
            config.limits.account = Rate { burst: 3, seconds: 3600 };
            config.limits.anonymous = Rate { burst: 2, seconds: 3600 };
        },
        async |server| {
            let ada = server.user("ada").await;
            for _ in 0..3 {
                assert_eq!(ada.get("/v1/account").await.status(), 200);
            }
            ada.get("/v1/account").await.refused(429, "too_many_requests").await;
            for _ in 0..2 {
                server.nobody().get("/v1/account").await.refused(401, "unauthenticated").await;
            }
            server.nobody().get("/v1/account").await.refused(429, "too_many_requests").await;
            assert_eq!(server.nobody().get("/healthz").await.status(), 200, "probes are not counted");
        },
    )
    .await;
}
