//! What must never reach the engine. There is none here: what were passed on would be a 502.

use std::path::Path;

use http::StatusCode;

use crate::client::{Rig, TARGET};

/// Every operation of the engine's published API description, version 1.49.
pub(crate) const OPERATIONS: &str = include_str!("engine-api.txt");
/// Those that pass, for the build's own image; a load without an image does not.
const PASSED: [&str; 6] = [
    "GET /version",
    "GET /info",
    "HEAD /_ping",
    "GET /images/{name}/json",
    "GET /images/{name}/history",
    "GET /images/get",
];

fn rig() -> Rig {
    Rig::open(Path::new("/nonexistent/engine.sock"), &["paastech/run:12"])
}

#[tokio::test]
async fn every_other_operation_of_the_engine_is_refused() {
    let rig = rig();
    assert!(OPERATIONS.lines().count() > 100);
    for operation in OPERATIONS.lines() {
        let (method, path) = operation.split_once(' ').unwrap();
        let path = path.replace("{name}", TARGET).replace("{id}", "0123").replace("{name:.*}", TARGET);
        let query = if path == "/images/get" { format!("?names={TARGET}") } else { String::new() };
        for prefix in ["", "/v1.41"] {
            let (status, _) = rig.call(method, &format!("{prefix}{path}{query}"), Vec::new()).await;
            let expected =
                if PASSED.contains(&operation) { StatusCode::BAD_GATEWAY } else { StatusCode::FORBIDDEN };
            assert_eq!(status, expected, "{operation}");
        }
    }
}

#[tokio::test]
async fn another_method_on_a_passed_path_is_refused() {
    let rig = rig();
    for operation in PASSED.iter().chain(&["POST /images/load"]) {
        let path = operation.split_once(' ').unwrap().1.replace("{name}", TARGET);
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT_", "TRACE"] {
            let (status, _) = rig.call(method, &path, Vec::new()).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn images_of_others_are_refused_in_every_spelling() {
    let rig = rig();
    for reference in
        ["debian", "pt-gate-test/app:other", "paastech/run:12@sha256:00", "paastech%2Frun%3A13", "%2e%2e"]
    {
        for path in [format!("/images/{reference}/json"), format!("/images/get?names={reference}")] {
            assert_eq!(rig.call("GET", &path, Vec::new()).await.0, StatusCode::FORBIDDEN, "{path}");
        }
    }
    for path in ["/images/registry.example/paastech/run:12/json", "/images/get?names=paastech%2Frun%3A12"] {
        assert_eq!(rig.call("GET", path, Vec::new()).await.0, StatusCode::BAD_GATEWAY, "{path}");
    }
    let tag = "/images/debian/tag?repo=pt-gate-test%2Fapp&tag=other";
    assert_eq!(rig.call("POST", tag, Vec::new()).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_shut_gate_leaves_no_socket() {
    let rig = rig();
    let socket = rig.dir.path().join("s");
    assert!(socket.exists());
    drop(rig.gate);
    assert!(!socket.exists());
}
