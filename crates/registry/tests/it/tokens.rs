//! What a token opens, and what it does not.

use std::time::Duration;

use paastech_registry::{
    Action::{Delete, Pull, Push},
    testing::{Registry, token_key},
};
use paastech_types::ProjectId;
use reqwest::{Client, Method, StatusCode, header};
use sha2::{Digest as _, Sha256};

/// One project's repository, and what one may try on it.
struct Repository<'a> {
    registry: &'a Registry,
    client: Client,
    project: ProjectId,
}

impl<'a> Repository<'a> {
    fn of(registry: &'a Registry, project: ProjectId) -> Self {
        Self { registry, client: Client::new(), project }
    }

    async fn call(&self, method: Method, path: &str, token: &str, body: &str) -> reqwest::Response {
        let url = format!("{}/v2/apps/{}/{path}", self.registry.url(), self.project);
        let mut request = self.client.request(method, url).body(body.to_owned());
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        let types = [(header::CONTENT_TYPE, MANIFEST), (header::ACCEPT, MANIFEST)];
        let request = types.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        request.send().await.expect("an answer")
    }

    async fn status(&self, method: Method, path: &str, token: &str) -> StatusCode {
        self.call(method, path, token, "").await.status()
    }

    /// Uploads an image without layers; its manifest's digest.
    async fn push(&self, token: &str) -> String {
        let config = "{}";
        let upload = self.call(Method::POST, "blobs/uploads/", token, "").await;
        assert_eq!(upload.status(), StatusCode::ACCEPTED);
        let place = upload.headers()[header::LOCATION].to_str().expect("text");
        let place = format!("{place}&digest={}", digest(config));
        let put = self.client.put(place).bearer_auth(token).body(config).send().await.expect("an answer");
        assert_eq!(put.status(), StatusCode::CREATED);
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
            "config": { "mediaType": CONFIG, "size": config.len(), "digest": digest(config) },
        });
        let put = self.call(Method::PUT, "manifests/one", token, &manifest.to_string()).await;
        assert_eq!(put.status(), StatusCode::CREATED);
        put.headers()["docker-content-digest"].to_str().expect("text").to_owned()
    }
}

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const OK: StatusCode = StatusCode::OK;
const TAKEN: StatusCode = StatusCode::ACCEPTED;
const NO: StatusCode = StatusCode::UNAUTHORIZED;
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";

fn digest(text: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(text)))
}

/// Reading, writing and removing, with this token.
async fn tries(repository: &Repository<'_>, manifest: &str, token: &str) -> [StatusCode; 4] {
    [
        repository.status(Method::GET, "manifests/one", token).await,
        repository.status(Method::GET, "tags/list", token).await,
        repository.status(Method::POST, "blobs/uploads/", token).await,
        repository.status(Method::DELETE, manifest, token).await,
    ]
}

#[tokio::test]
async fn a_token_opens_one_repository_for_what_it_says_and_no_longer() {
    let registry = Registry::start();
    let (a, b) = (ProjectId::new(), ProjectId::new());
    let repository = Repository::of(&registry, a);
    let pushed = repository.push(&registry.token(a, &[Pull, Push])).await;
    let manifest = format!("manifests/{pushed}");

    let all = [Pull, Push, Delete];
    let stranger = tempfile::tempdir().expect("a directory");
    let files = paastech_certs::registry_token(stranger.path(), time::OffsetDateTime::now_utc());
    let files = files.expect("another key");
    let now = time::OffsetDateTime::now_utc().unix_timestamp() * 1000;
    let forged = token_key(&files.key, files.certificate).issue(a, &all, (now, now + 600_000));
    let mut altered = registry.token(a, &all);
    altered.replace_range(altered.len() - 8.., "AAAAAAAA");
    for (whose, token) in [
        ("nobody's", String::new()),
        ("no token", "nonsense".to_owned()),
        ("another project's", registry.token(b, &all)),
        ("one without actions", registry.token(a, &[])),
        ("an expired one", registry.expired_token(a, &all, Duration::from_secs(120))),
        ("another key's", forged),
        ("one with another signature", altered),
    ] {
        assert_eq!(tries(&repository, &manifest, &token).await, [NO; 4], "{whose}");
    }

    for (actions, answers) in [
        (&[Pull][..], [OK, OK, NO, NO]),
        (&[Push], [NO; 4]),
        (&[Pull, Push], [OK, OK, TAKEN, NO]),
        (&[Delete], [NO, NO, NO, TAKEN]),
    ] {
        let token = registry.token(a, actions);
        assert_eq!(tries(&repository, &manifest, &token).await, answers, "{actions:?}");
    }
    let gone = repository.status(Method::GET, "manifests/one", &registry.token(a, &[Pull])).await;
    assert_eq!(gone, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn another_projects_layer_is_not_had_by_mounting_it() {
    let registry = Registry::start();
    let (a, b) = (ProjectId::new(), ProjectId::new());
    Repository::of(&registry, a).push(&registry.token(a, &[Pull, Push])).await;
    let theirs = Repository::of(&registry, b);
    let token = registry.token(b, &[Pull, Push]);
    let mount = format!("blobs/uploads/?mount={}&from=apps/{a}", digest("{}"));
    assert_eq!(theirs.status(Method::POST, &mount, &token).await, StatusCode::UNAUTHORIZED);
    let blob = format!("blobs/{}", digest("{}"));
    assert_eq!(theirs.status(Method::GET, &blob, &token).await, StatusCode::NOT_FOUND);
}
