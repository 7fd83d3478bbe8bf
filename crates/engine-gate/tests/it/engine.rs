//! With the engine behind it.

use std::path::{Path, PathBuf};

use http::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::client::{Rig, TARGET, call};

const BASE: &str = "paastech/base:12";

fn engine() -> PathBuf {
    Path::new("/var/run/docker.sock").to_owned()
}

/// An archive as the lifecycle writes them, with one layer.
fn archive(name: &str, layer: &[u8]) -> Vec<u8> {
    let diff = format!("sha256:{}", hex::encode(Sha256::digest(layer)));
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [diff] },
    })
    .to_string();
    let config_name = format!("{}.json", hex::encode(Sha256::digest(&config)));
    let manifest = json!([{ "Config": config_name, "RepoTags": [name], "Layers": [format!("/{diff}.tar")] }]);
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in [
        (config_name, config.as_bytes()),
        (format!("/{diff}.tar"), layer),
        ("manifest.json".to_owned(), manifest.to_string().as_bytes()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, bytes).expect("works");
    }
    builder.into_inner().expect("works")
}

fn layer() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    builder.append_data(&mut header, "hello", &b"hello"[..]).expect("works");
    builder.into_inner().expect("works")
}

async fn held(name: &str) -> bool {
    call(engine(), "GET", &format!("/images/{name}/json"), Vec::new()).await.0 == StatusCode::OK
}

/// Gives the target's name to an image, as the lifecycle does after a load.
async fn name_it(rig: &Rig, id: &str) -> StatusCode {
    let target = format!("/images/{id}/tag?repo=pt-gate-test%2Fapp&tag=0123456789abcdef");
    rig.call("POST", &target, Vec::new()).await.0
}

#[tokio::test]
async fn a_build_sees_the_engine_no_wider_than_it_needs() {
    let rig = Rig::open(&engine(), &[BASE]);
    let (status, text) = rig.call("GET", "/v1.41/info", Vec::new()).await;
    let info: Value = serde_json::from_slice(&text).expect("works");
    assert_eq!((status, info["OSType"].as_str()), (StatusCode::OK, Some("linux")));
    assert!(info.get("Containers").is_none() && info.get("Name").is_none(), "{info}");
    let (status, text) =
        rig.call("GET", "/v1.41/images/registry.example/paastech/base:12/json", Vec::new()).await;
    let image: Value = serde_json::from_slice(&text).expect("works");
    assert_eq!((status, image["Os"].as_str()), (StatusCode::OK, Some("linux")));
}

#[tokio::test]
async fn only_the_build_s_own_image_can_be_loaded() {
    let rig = Rig::open(&engine(), &[]);
    let other = "pt-gate-test/other:0123456789abcdef";
    let (status, text) = rig.call("POST", "/images/load?quiet=1", archive(other, &layer())).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{text:?}");
    assert!(!held(other).await);

    let mut cut = archive(TARGET, &layer());
    cut.truncate(3000);
    let (status, _) = rig.call("POST", "/images/load", cut).await;
    assert!(!status.is_success(), "{status}");
    assert!(!held(TARGET).await);

    let name = format!("registry.example/{TARGET}");
    let (status, text) = rig.call("POST", "/v1.41/images/load?quiet=1", archive(&name, &layer())).await;
    assert_eq!(status, StatusCode::OK, "{text:?}");
    let (status, text) = rig.call("GET", &format!("/images/{TARGET}/json"), Vec::new()).await;
    let loaded: Value = serde_json::from_slice(&text).expect("works");
    let id = loaded["Id"].as_str().expect("works");
    let again = name_it(&rig, id).await;
    let (_, base) = call(engine(), "GET", &format!("/images/{BASE}/json"), Vec::new()).await;
    let base: Value = serde_json::from_slice(&base).expect("works");
    let base = base["Id"].as_str().expect("works");
    let foreign = name_it(&rig, base).await;
    call(engine(), "DELETE", &format!("/images/{TARGET}"), Vec::new()).await;
    assert_eq!((status, again, foreign), (StatusCode::OK, StatusCode::CREATED, StatusCode::FORBIDDEN));
}
