//! `/v1/projects/{project}/variables`.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{Reply, on_each_database};

#[tokio::test]
async fn a_secret_is_never_read_back() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let path = format!("/v1/projects/{}/variables", ada.project("shop").await);
        let set = json!({ "set": { "MODE": { "value": "fast" }, "KEY": { "value": "hunter2-value", "kind": "secret" } } });
        let changed = ada.send(Method::PATCH, &path, &set).await.expect(StatusCode::OK).await;
        assert!(changed.get("operation").is_none(), "nothing is deployed yet");
        let listed = ada.get(&path).await.expect(StatusCode::OK).await;
        assert_eq!(listed["configuration_version"], 1);
        assert_eq!(listed["items"][0]["name"], "KEY");
        assert!(listed["items"][0].get("value").is_none());
        assert_eq!(listed["items"][1]["value"], "fast");
        for body in [changed.to_string(), listed.to_string()] {
            assert!(!body.contains("hunter2-value"), "{body}");
        }
        if server.config.database.expose().is_empty() {
            for file in ["paastech.db", "paastech.db-wal"] {
                let bytes = std::fs::read(server.config.data_dir.join(file)).unwrap();
                assert!(!bytes.windows(13).any(|window| window == b"hunter2-value"), "{file}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_running_app_gets_a_change_as_a_new_release() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let project = ada.project("shop").await;
        let path = format!("/v1/projects/{project}/variables");
        let key = json!({ "value": "s3cr3t-one", "kind": "secret" });
        ada.send(Method::PUT, &format!("{path}/KEY"), &key).await.expect(StatusCode::OK).await;
        ada.deploy(&project).await;
        assert_eq!(server.fakes.variables(), [("KEY".to_owned(), "s3cr3t-one".to_owned())]);

        let set = ada.send(Method::PUT, &format!("{path}/MODE"), &json!({ "value": "fast" })).await;
        let set = set.expect(StatusCode::ACCEPTED).await;
        ada.finished(set["operation"]["id"].as_str().unwrap()).await;
        let expected = [("KEY", "s3cr3t-one"), ("MODE", "fast")];
        assert_eq!(
            server.fakes.variables(),
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );

        let same = ada.send(Method::PUT, &format!("{path}/MODE"), &json!({ "value": "fast" })).await;
        assert!(same.expect(StatusCode::OK).await.get("operation").is_none(), "nothing differs");
        let quiet = ada.delete(&format!("{path}/MODE?deploy=false")).await.expect(StatusCode::OK).await;
        assert_eq!(quiet["configuration_version"], 3);
        assert_eq!(ada.delete(&format!("{path}/MODE")).await.status(), 404);

        let releases =
            ada.get(&format!("/v1/projects/{project}/releases")).await.expect(StatusCode::OK).await;
        assert_eq!(releases["items"][0]["reason"], "configuration");
        assert_eq!(releases["items"][0]["active"], true);
        assert_eq!(releases["items"].as_array().unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_name_or_value_that_no_app_could_have_is_refused() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let path = format!("/v1/projects/{}/variables", ada.project("shop").await);
        for name in ["PATH", "PORT", "LD_PRELOAD", "1A", "A-B", "PAASTECH_X"] {
            let answer = ada.send(Method::PUT, &format!("{path}/{name}"), &json!({ "value": "x" })).await;
            assert_eq!(answer.refused(422, "invalid").await["field"], "name", "{name}");
        }
        for value in ["a\0b".to_owned(), "x".repeat(65_537)] {
            let answer = ada.send(Method::PUT, &format!("{path}/A"), &json!({ "value": value })).await;
            assert_eq!(answer.refused(422, "invalid").await["field"], "value");
        }
        let both = json!({ "set": { "A": { "value": "1" } }, "unset": ["A"] });
        ada.send(Method::PATCH, &path, &both).await.refused(422, "invalid").await;
        let listed = ada.get(&path).await.expect(StatusCode::OK).await;
        assert_eq!(listed["items"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn two_changes_of_one_version_cannot_both_win() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let path = format!("/v1/projects/{}/variables", ada.project("shop").await);
        let tag = ada.get(&path).await.header("etag").unwrap();
        let set = async |value: &str| {
            let request = ada.request(Method::PUT, &format!("{path}/A")).header("if-match", &tag);
            Reply::of(request.json(&json!({ "value": value }))).await
        };
        let (one, two) = tokio::join!(set("1"), set("2"));
        let mut statuses = [one.status(), two.status()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412]);
    })
    .await;
}
