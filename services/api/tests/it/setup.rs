//! `/v1/setup`, and the administrators' socket.

use std::os::unix::fs::PermissionsExt as _;

use paastech_api::{Config, Service};
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{PASSWORD, neighbours, on_each_database};

#[tokio::test]
async fn the_setup_token_works_once() {
    on_each_database(async |server| {
        let path = server.config.data_dir.join("setup-token");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o400);
        let token = std::fs::read_to_string(&path).unwrap();
        let body =
            |token: &str| json!({ "token": token, "email": "a@x.org", "name": "A", "password": PASSWORD });

        let wrong =
            server.nobody().post("/v1/setup", &body("pt_setup_0")).await.refused(422, "invalid").await;
        assert_eq!(wrong["field"], "token");
        let account =
            server.nobody().post("/v1/setup", &body(token.trim())).await.expect(StatusCode::CREATED).await;
        assert_eq!(account["role"], "administrator");
        server.nobody().post("/v1/setup", &body(token.trim())).await.refused(410, "setup_done").await;
        assert!(!path.exists(), "a used token's file is removed");
    })
    .await;
}

#[tokio::test]
async fn root_at_the_socket_is_the_administrator() {
    on_each_database(async |server| {
        let http = reqwest::Client::builder().unix_socket(server.dir().join("admin.sock")).build().unwrap();
        let ask = async || http.get("http://paastech/v1/account").send().await.unwrap();
        assert_eq!(ask().await.status(), 401, "nobody to act as before the set-up");
        server.administrator().await;
        let me: serde_json::Value = ask().await.json().await.unwrap();
        assert_eq!(me["role"], "administrator");
    })
    .await;
}

#[tokio::test]
async fn a_database_in_a_file_has_one_api() {
    on_each_database(async |server| {
        let config = Config { admin_socket: None, ..server.config.clone() };
        let second = Service::build(config, neighbours(&server.fakes), server.clock.clone()).await;
        match second {
            Err(refused) => {
                assert!(refused.to_string().contains("another api uses the data directory"), "{refused}")
            }
            Ok(_) => assert!(!server.config.database.expose().is_empty(), "PostgreSQL takes several"),
        }
    })
    .await;
}
