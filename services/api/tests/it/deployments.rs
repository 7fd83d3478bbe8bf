//! Deployments, releases, operations and their logs, what runs.

use paastech_api::config::DockerfilePolicy;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    fakes::COMMIT,
    harness::{Client, Reply, on_each_database, on_each_database_with},
};

async fn log(client: &Client, path: &str, headers: &[(&str, &str)]) -> (String, String) {
    let mut request = client.request(Method::GET, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let reply = Reply::of(request).await;
    assert_eq!(reply.status(), 200);
    let kind = reply.header("content-type").unwrap();
    (kind, reply.0.text().await.unwrap())
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_deployment_is_followed_to_its_address() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let project = ada.project("shop").await;
        let path = format!("/v1/projects/{project}/deployments");
        let accepted = ada.post(&path, &json!({ "commit": COMMIT })).await;
        let location = accepted.header("location").unwrap();
        let operation = accepted.expect(StatusCode::ACCEPTED).await;
        assert_eq!(location, format!("/v1/operations/{}", operation["id"].as_str().unwrap()));

        let (kind, text) = log(&ada, &format!("{location}/log"), &[]).await;
        assert_eq!(kind, "application/x-ndjson");
        let lines = lines(&text);
        let (end, said) = lines.split_last().unwrap();
        assert_eq!(end["state"], "done");
        assert_eq!(end["url"], format!("http://{project}.user-app.localhost"));
        let numbers: Vec<u64> = said.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        assert!(said.iter().any(|line| line["text"] == "step 1"), "{text}");

        let headers = [("accept", "text/event-stream"), ("last-event-id", "1")];
        let (kind, text) = log(&ada, &format!("{location}/log"), &headers).await;
        assert_eq!(kind, "text/event-stream");
        assert!(text.contains("id: 2\n") && !text.contains("id: 1\n"), "{text}");
        assert!(text.contains("event: line\n") && text.contains("event: end\n"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn an_earlier_release_is_deployed_again() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let project = ada.project("shop").await;
        ada.deploy(&project).await;
        let path = format!("/v1/projects/{project}");
        let set = ada.send(Method::PUT, &format!("{path}/variables/A"), &json!({ "value": "1" })).await;
        let set = set.expect(StatusCode::ACCEPTED).await;
        ada.finished(set["operation"]["id"].as_str().unwrap()).await;

        let back = ada.post(&format!("{path}/deployments"), &json!({ "release": "1" })).await;
        let back = back.expect(StatusCode::ACCEPTED).await;
        ada.finished(back["id"].as_str().unwrap()).await;
        assert!(server.fakes.variables().is_empty(), "the configuration goes back with the image");
        let newest = ada.get(&format!("{path}/releases/3")).await.expect(StatusCode::OK).await;
        assert_eq!((&newest["reason"], &newest["active"]), (&json!("rollback"), &json!(true)));
        let by_id = format!("{path}/releases/{}", newest["id"].as_str().unwrap());
        assert_eq!(ada.get(&by_id).await.expect(StatusCode::OK).await, newest);

        let keep = json!({ "release": "1", "keep_config": true });
        ada.post(&format!("{path}/deployments"), &keep).await.expect(StatusCode::ACCEPTED).await;
        let page = ada.get(&format!("{path}/releases?limit=1")).await.expect(StatusCode::OK).await;
        let cursor = page["next_cursor"].as_str().unwrap();
        let rest = ada.get(&format!("{path}/releases?cursor={cursor}")).await.expect(StatusCode::OK).await;
        let first = page["items"][0]["seq"].as_i64().unwrap();
        assert_eq!(rest["items"][0]["seq"], first - 1);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_deployed_is_refused_at_once() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let project = ada.project("shop").await;
        let path = format!("/v1/projects/{project}/deployments");
        for (body, field) in [
            (json!({ "revision": "nowhere" }), "revision"),
            (json!({ "revision": "--upload-pack=x" }), "revision"),
            (json!({ "revision": "a b" }), "revision"),
            (json!({ "revision": "" }), "revision"),
            (json!({ "commit": "f".repeat(40) }), "commit"),
            (json!({ "commit": "HEAD" }), "commit"),
            (json!({ "release": "7" }), "release"),
            (json!({ "release": "x" }), "release"),
            (json!({ "release": "1", "revision": "main" }), "release"),
            (json!({ "keep_config": true }), "keep_config"),
        ] {
            let problem = ada.post(&path, &body).await.refused(422, "invalid").await;
            assert_eq!(problem["field"], field, "{body}");
        }
        let operations = ada.get(&format!("/v1/projects/{project}/operations")).await;
        assert_eq!(operations.expect(StatusCode::OK).await, json!({ "items": [] }));
        for verb in ["stop", "start"] {
            let answer = ada.post(&format!("/v1/projects/{project}/{verb}"), &json!({})).await;
            answer.refused(409, "not_deployed").await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_app_is_stopped_and_started() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let project = ada.project("shop").await;
        ada.deploy(&project).await;
        for (verb, state) in [("stop", "stopped"), ("start", "running")] {
            let accepted = ada.post(&format!("/v1/projects/{project}/{verb}"), &Value::Null).await;
            let accepted = accepted.expect(StatusCode::ACCEPTED).await;
            ada.finished(accepted["id"].as_str().unwrap()).await;
            let status =
                ada.get(&format!("/v1/projects/{project}/status")).await.expect(StatusCode::OK).await;
            assert_eq!(status["desired_state"], state);
            assert_eq!(status["active_release"]["seq"], 1);
            assert_eq!(status["containers"][0]["name"], "pt-1");
        }
        let ended = ada.get(&format!("/v1/projects/{project}/operations")).await.expect(StatusCode::OK).await;
        assert_eq!(ended["items"].as_array().unwrap().len(), 3);
        let id = ended["items"][0]["id"].as_str().unwrap();
        let late = ada.post(&format!("/v1/operations/{id}/cancel"), &Value::Null).await;
        late.refused(409, "operation_ended").await;
    })
    .await;
}

#[tokio::test]
async fn what_an_app_writes_and_uses_can_be_read() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let project = ada.project("shop").await;
        let (kind, text) = log(&ada, &format!("/v1/projects/{project}/logs?tail=5"), &[]).await;
        assert_eq!(kind, "application/x-ndjson");
        assert_eq!(
            lines(&text),
            [json!({ "container": "pt-1", "stream": "stdout", "at": 1, "text": "hello" })]
        );
        let stats = ada.get(&format!("/v1/projects/{project}/stats")).await.expect(StatusCode::OK).await;
        assert_eq!(stats["containers"][0]["name"], "pt-1");
    })
    .await;
}

#[tokio::test]
async fn what_a_stranger_may_not_push_they_may_not_deploy_either() {
    on_each_database_with(
        |config| config.builds.dockerfile = DockerfilePolicy::Trusted,
        async |server| {
            let root = server.administrator().await;
            let ada = server.user("ada").await;
            let project = ada.project("shop").await;
            let path = format!("/v1/projects/{project}/deployments");
            let refused = ada.post(&path, &json!({ "revision": "v1.0" })).await;
            let refused = refused.expect(StatusCode::ACCEPTED).await;
            let operation = format!("/v1/operations/{}", refused["id"].as_str().unwrap());
            log(&ada, &format!("{operation}/log"), &[]).await;
            let ended = ada.get(&operation).await.expect(StatusCode::OK).await;
            assert_eq!(ended["error"]["code"], "build_failed", "{ended}");
            let message = ended["error"]["message"].as_str().unwrap();
            assert!(message.contains("paastech accounts trust ada@example.org"), "{message}");

            let me = ada.get("/v1/account").await.expect(StatusCode::OK).await;
            let account = format!("/v1/accounts/{}", me["id"].as_str().unwrap());
            root.send(Method::PATCH, &account, &json!({ "trusted": true }))
                .await
                .expect(StatusCode::OK)
                .await;
            ada.deploy(&project).await;
        },
    )
    .await;
}

#[tokio::test]
async fn builds_are_the_operations_that_built() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let project = ada.project("shop").await;
        let path = format!("/v1/projects/{project}");
        let builds = async || {
            let page = ada.get(&format!("{path}/builds")).await.expect(StatusCode::OK).await;
            let ids = page["items"].as_array().unwrap().iter().map(|build| build["id"].clone());
            ids.collect::<Vec<_>>()
        };
        assert!(builds().await.is_empty());
        let body = json!({ "commit": COMMIT });
        let built = ada.post(&format!("{path}/deployments"), &body).await.expect(StatusCode::ACCEPTED).await;
        ada.finished(built["id"].as_str().unwrap()).await;
        // The image is there: the second one only deploys it.
        let again = ada.post(&format!("{path}/deployments"), &body).await.expect(StatusCode::ACCEPTED).await;
        ada.finished(again["id"].as_str().unwrap()).await;
        assert_eq!(builds().await, [built["id"].clone()]);
        let other = server.user("eve").await;
        other.get(&format!("{path}/builds")).await.expect(StatusCode::NOT_FOUND).await;
    })
    .await;
}

#[tokio::test]
async fn everybody_with_an_account_may_see_what_builds() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let listed = ada.get("/v1/builders").await.expect(StatusCode::OK).await;
        let packs = json!([{ "id": "test/pack", "version": "1.0.0" }]);
        let builder = json!({
            "image": "test/builder:1", "run_image": "test/run:1", "platform_api": "0.14", "buildpacks": packs,
        });
        assert_eq!(listed, json!({ "items": [builder], "allowed": ["other/builder*"] }));
        server.nobody().get("/v1/builders").await.expect(StatusCode::UNAUTHORIZED).await;
    })
    .await;
}
