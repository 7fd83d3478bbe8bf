//! The proxy's view: which questions pass, and whose containers are seen.

use std::path::{Path, PathBuf};

use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{client::call, refusals::OPERATIONS};

const ENGINE: &str = "/var/run/docker.sock";
const PASSED: [&str; 5] =
    ["GET /version", "GET /_ping", "HEAD /_ping", "GET /containers/json", "GET /containers/{id}/json"];

fn open(engine: &Path, instance: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("s");
    tokio::spawn(
        paastech_engine_gate::watch(socket.clone(), engine.to_owned(), instance.to_owned()).expect("opens"),
    );
    (dir, socket)
}

#[tokio::test]
async fn every_other_operation_of_the_engine_is_refused() {
    let (_dir, socket) = open(Path::new("/nonexistent/engine.sock"), "i1");
    for operation in OPERATIONS.lines() {
        let (method, path) = operation.split_once(' ').unwrap();
        let path = path.replace("{name}", "x").replace("{id}", "0123").replace("{name:.*}", "x");
        for prefix in ["", "/v1.41"] {
            let (status, _) = call(socket.clone(), method, &format!("{prefix}{path}"), Vec::new()).await;
            let passes = PASSED.contains(&operation) || operation == "GET /events";
            let expected = if passes { StatusCode::BAD_GATEWAY } else { StatusCode::FORBIDDEN };
            assert_eq!(status, expected, "{operation}");
        }
    }
}

/// A container with this label, never started.
async fn container(instance: &str) -> String {
    let body = json!({ "Image": "paastech/base:12", "Cmd": ["true"], "Env": ["SECRET=1"],
        "Labels": { "paastech.instance": instance } });
    let made = call(ENGINE.into(), "POST", "/containers/create", body.to_string().into_bytes()).await;
    let made: Value = serde_json::from_slice(&made.1).expect("JSON");
    made["Id"].as_str().expect("these tests need an engine and paastech/base:12").to_owned()
}

#[tokio::test]
async fn an_installation_s_containers_are_seen_and_nobody_else_s() {
    let (ours, theirs) = (uuid(), uuid());
    let [mine, other] = [container(&ours).await, container(&theirs).await];
    let (_dir, socket) = open(Path::new(ENGINE), &ours);
    let get = async |path: &str| {
        let (status, body) = call(socket.clone(), "GET", path, Vec::new()).await;
        (status, serde_json::from_slice::<Value>(&body).expect("JSON"))
    };
    let listed = get("/containers/json?all=1").await.1;
    // A filter of one's own adds to ours, and never takes its place.
    let filters = json!({ "label": [format!("paastech.instance={theirs}")] }).to_string().replace('"', "%22");
    let asked = get(&format!("/containers/json?all=1&filters={filters}")).await.1;
    let seen = get(&format!("/v1.41/containers/{mine}/json")).await;
    let hidden = get(&format!("/containers/{other}/json")).await.0;
    for id in [&mine, &other] {
        call(ENGINE.into(), "DELETE", &format!("/containers/{id}?force=true"), Vec::new()).await;
    }
    let ids: Vec<&str> = listed.as_array().unwrap().iter().filter_map(|one| one["Id"].as_str()).collect();
    assert_eq!(ids, [mine.as_str()]);
    assert_eq!(asked, json!([]));
    assert_eq!((seen.0, seen.1["Id"].as_str()), (StatusCode::OK, Some(mine.as_str())));
    assert!(!seen.1.to_string().contains("SECRET"), "{}", seen.1);
    assert_eq!(hidden, StatusCode::NOT_FOUND);
}

fn uuid() -> String {
    let dir = tempfile::tempdir().expect("a directory");
    format!("test{}", dir.path().file_name().expect("a name").to_string_lossy().replace('.', "-"))
}
