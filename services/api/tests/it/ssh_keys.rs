//! `/v1/ssh-keys`.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use paastech_proto::control::{Access, AuthenticateKeyRequest, AuthorizeRequest};
use reqwest::StatusCode;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tonic::Code;

use crate::harness::on_each_database;

const ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBqz7rQ3ob4DLXhgVPCyYhP9+SmVvsBqM9CmqjLmvWoo ada@laptop";
const DSA: &str = "ssh-dss AAAAB3NzaC1kc3MAAACBAP";

/// An RSA key of so many bits, in wire form: `ssh-rsa`, exponent, modulus.
fn rsa(bits: usize) -> String {
    let mut modulus = vec![0xc1_u8; bits / 8];
    modulus.insert(0, 0);
    let mut blob = Vec::new();
    for part in [b"ssh-rsa".as_slice(), &[1, 0, 1], &modulus] {
        blob.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
        blob.extend_from_slice(part);
    }
    format!("ssh-rsa {} old", BASE64_STANDARD.encode(blob))
}

#[tokio::test]
async fn a_key_is_added_once_and_removed() {
    on_each_database(async |server| {
        let (ada, eve) = (server.user("ada").await, server.user("eve").await);
        let body = json!({ "name": "laptop", "public_key": ED25519 });
        let added = ada.post("/v1/ssh-keys", &body).await;
        let location = added.header("location").unwrap();
        let key = added.expect(StatusCode::CREATED).await;
        assert_eq!(key["algorithm"], "ssh-ed25519");
        assert!(key["fingerprint"].as_str().unwrap().starts_with("SHA256:"));
        eve.post("/v1/ssh-keys", &body).await.refused(409, "key_known").await;
        eve.get(&location).await.refused(404, "not_found").await;
        assert_eq!(eve.delete(&location).await.status(), 404);
        assert_eq!(ada.get(&location).await.expect(StatusCode::OK).await, key);
        assert_eq!(ada.delete(&location).await.status(), 204);
        ada.get(&location).await.refused(404, "not_found").await;
        eve.post("/v1/ssh-keys", &body).await.expect(StatusCode::CREATED).await;
    })
    .await;
}

#[tokio::test]
async fn a_removed_key_is_good_for_nothing_on_a_connection_it_opened() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        ada.post("/v1/projects", &json!({ "slug": "shop" })).await.expect(StatusCode::CREATED).await;
        let body = json!({ "name": "laptop", "public_key": ED25519 });
        let added = ada.post("/v1/ssh-keys", &body).await;
        let location = added.header("location").unwrap();
        let mut control = server.control.clone();
        let blob = BASE64_STANDARD.decode(ED25519.split(' ').nth(1).unwrap()).unwrap();
        let offer =
            AuthenticateKeyRequest { fingerprint: Sha256::digest(&blob).to_vec(), blob, proven: false };
        let found = control.authenticate_key(offer.clone()).await.unwrap().into_inner();
        let unused = ada.get(&location).await.expect(StatusCode::OK).await;
        assert!(unused["last_used_at"].is_null(), "an offer is no use: {unused}");
        control.authenticate_key(AuthenticateKeyRequest { proven: true, ..offer }).await.unwrap();
        let used = ada.get(&location).await.expect(StatusCode::OK).await;
        assert!(!used["last_used_at"].is_null(), "{used}");
        let push = AuthorizeRequest {
            account_id: found.account_id,
            project: "shop".to_owned(),
            access: Access::Write.into(),
            key_id: found.key_id,
        };
        control.authorize(push.clone()).await.unwrap();
        assert_eq!(ada.delete(&location).await.status(), 204);
        assert_eq!(control.authorize(push).await.unwrap_err().code(), Code::NotFound);
    })
    .await;
}

#[tokio::test]
async fn weak_and_broken_keys_are_refused() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        for (key, says) in [
            (rsa(2048), "3072"),
            (DSA.to_owned(), "public key"),
            ("not a key".to_owned(), "public key"),
            (String::new(), "public key"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(), "public key"),
            (format!("{ED25519}\n{ED25519}"), "public key"),
        ] {
            let problem = ada.post("/v1/ssh-keys", &json!({ "name": "k", "public_key": key })).await;
            let problem = problem.refused(422, "invalid").await;
            assert_eq!(problem["field"], "public_key");
            assert!(problem["detail"].as_str().unwrap().contains(says), "{key}: {problem}");
        }
        let body = json!({ "name": "k", "public_key": rsa(3072) });
        ada.post("/v1/ssh-keys", &body).await.expect(StatusCode::CREATED).await;
    })
    .await;
}
