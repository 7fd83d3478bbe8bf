//! What holds for every route: tags, traces, probes, origins.

use reqwest::{Method, StatusCode};

use crate::harness::{Reply, on_each_database, on_each_database_with};

#[tokio::test]
async fn what_a_client_has_already_is_not_sent_again() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let project = ada.project("shop").await;
        for path in [
            "/v1/account".to_owned(),
            "/v1/roles".to_owned(),
            format!("/v1/projects/{project}"),
            "/v1/projects".to_owned(),
        ] {
            let first = ada.get(&path).await;
            let tag = first.header("etag").unwrap();
            let again = Reply::of(ada.request(Method::GET, &path).header("if-none-match", &tag)).await;
            assert_eq!(again.status(), 304, "{path}");
            assert!(again.0.text().await.unwrap().is_empty());
            let other = Reply::of(ada.request(Method::GET, &path).header("if-none-match", "\"v0\"")).await;
            assert_eq!(other.status(), 200, "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_carries_the_callers_trace() {
    on_each_database(async |server| {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let request = server.nobody().request(Method::GET, "/healthz");
        let answer = Reply::of(request.header("traceparent", format!("00-{id}-00f067aa0ba902b7-01"))).await;
        assert_eq!(answer.header("x-request-id").as_deref(), Some(id));
        assert_eq!(answer.header("x-content-type-options").as_deref(), Some("nosniff"));
    })
    .await;
}

#[tokio::test]
async fn the_probes_tell_life_readiness_and_version() {
    on_each_database(async |server| {
        let nobody = server.nobody();
        assert_eq!(nobody.get("/healthz").await.expect(StatusCode::OK).await["status"], "ok");
        assert_eq!(nobody.get("/readyz").await.expect(StatusCode::OK).await["status"], "ready");
        assert_eq!(nobody.get("/v1/version").await.expect(StatusCode::OK).await["api"], "v1");
    })
    .await;
}

#[tokio::test]
async fn only_listed_origins_may_read_answers() {
    on_each_database_with(
        |config| config.cors_origins = vec!["https://console.example.org".to_owned()],
        async |server| {
            let ask = async |origin: &str| {
                Reply::of(server.nobody().request(Method::GET, "/v1/version").header("origin", origin)).await
            };
            let allowed = "access-control-allow-origin";
            let listed = ask("https://console.example.org").await.header(allowed);
            assert_eq!(listed.as_deref(), Some("https://console.example.org"));
            assert_eq!(ask("https://evil.example.org").await.header(allowed), None);
        },
    )
    .await;
}
