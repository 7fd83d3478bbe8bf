//! What the api counts, as it is read.

use paastech_runtime::{MetricsConfig, Shutdown, metrics};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{Reply, on_each_database};

#[tokio::test]
async fn requests_are_counted_by_pattern_and_nothing_that_a_client_chose_is_a_label() {
    on_each_database(async |server| {
        let shutdown = Shutdown::new();
        let config = MetricsConfig { listen: Some(([127, 0, 0, 1], 0).into()), beyond_loopback: false };
        let addr = metrics::serve(&config, "test", &shutdown).await.expect("bound").expect("an address");
        let ada = server.user("ada").await;
        let project = ada.project("shop").await;
        ada.get(&format!("/v1/projects/{project}")).await.expect(StatusCode::OK).await;
        for path in ["/chosen-path", "/v1/projects/chosen-slug", "/v1/chosen%20path?chosen=query"] {
            assert_eq!(ada.get(path).await.status(), 404, "{path}");
        }
        let method = Method::from_bytes(b"CHOSEN").expect("a token");
        assert_eq!(Reply::of(ada.request(method, "/v1/projects")).await.status(), 405);
        assert_eq!(ada.post("/v1/projects", &json!({ "slug": "CHOSEN SLUG" })).await.status(), 422);
        let text = reqwest::get(format!("http://{addr}/metrics")).await.expect("served");
        let text = text.text().await.expect("a text");
        for labels in [
            r#"method="GET",route="/v1/projects/{project}",status="200""#,
            r#"method="GET",route="/v1/projects/{project}",status="404""#,
            r#"method="GET",route="none",status="404""#,
            r#"method="other",route="/v1/projects",status="405""#,
        ] {
            assert!(
                text.contains(&format!("paastech_http_requests_total{{{labels}}} ")),
                "{labels}:\n{text}"
            );
        }
        for chosen in [project.as_str(), "shop", "ada"] {
            assert!(!text.contains(chosen), "{chosen}:\n{text}");
        }
        assert!(!text.to_lowercase().contains("chosen"), "{text}");
        shutdown.stop(std::time::Duration::from_secs(5)).await;
    })
    .await;
}
