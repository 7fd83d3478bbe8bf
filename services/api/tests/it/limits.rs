//! How often one may call.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
async fn behind_a_proxy_each_client_has_its_own() {
    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3));
    const ANY: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    for (listen, proxy, third) in
        [(LOCAL, Some(LOCAL), 401), (ANY, Some(LOCAL), 401), (LOCAL, None, 429), (LOCAL, Some(OTHER), 429)]
    {
        on_each_database_with(
            |config| {
                config.listen = (listen, 0).into();
                config.proxy = proxy;
                config.limits.anonymous = Rate { burst: 2, seconds: 3600 };
            },
            async |server| {
                let (_, port) = server.url.rsplit_once(':').expect("a port");
                let from = async |client: &str| {
                    let request = reqwest::Client::builder()
                        .no_proxy()
                        .build()
                        .expect("a client")
                        .get(format!("http://127.0.0.1:{port}/v1/account"));
                    // What a client writes itself stands before what the proxy adds.
                    let request = request.header("x-forwarded-for", format!("10.0.0.9, {client}"));
                    request.send().await.expect("an answer").status().as_u16()
                };
                assert_eq!((from("10.0.0.1").await, from("10.0.0.1").await), (401, 401));
                assert_eq!(from("10.0.0.1").await, 429);
                assert_eq!(from("10.0.0.2").await, third);
            },
        )
        .await;
    }
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
