//! A registry that is not the installation's own: it knows us by a name and a password, as others do.

use std::sync::{Arc, OnceLock};

use axum::{Json, Router, extract::Query, http::HeaderMap, http::StatusCode, routing::get};
use paastech_proto::pomegranate::{self as proto, BuildOutcome};
use paastech_registry::{
    Action::{Delete, Pull, Push},
    testing::Registry,
};
use paastech_runtime::Secret;
use paastech_types::ProjectId;
use pomegranate::RegistryConfig;

use crate::world::{app, in_world_with};

/// `us:a secret`, as Basic authentication has it.
const BASIC: &str = "Basic dXM6YSBzZWNyZXQ=";

#[derive(serde::Deserialize)]
struct Wanted {
    scope: String,
}

/// Gives tokens for what is asked for, to us alone.
async fn give_tokens(listener: std::net::TcpListener, registry: Arc<OnceLock<Registry>>) {
    let give = move |headers: HeaderMap, Query(wanted): Query<Wanted>| async move {
        if headers.get("authorization").is_none_or(|given| given != BASIC) {
            return Err(StatusCode::UNAUTHORIZED);
        }
        let repository = wanted.scope.split(':').nth(1).and_then(|name| name.strip_prefix("apps/"));
        let project: ProjectId = repository.and_then(|id| id.parse().ok()).ok_or(StatusCode::BAD_REQUEST)?;
        let registry = registry.get().ok_or(StatusCode::NOT_FOUND)?;
        let token = registry.token(project, &[Pull, Push, Delete]);
        Ok(Json(serde_json::json!({ "token": token })))
    };
    listener.set_nonblocking(true).expect("set");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    axum::serve(listener, Router::new().route("/token", get(give))).await.expect("serves");
}

/// Whether the registry has the image's manifest: an engine would not ask again for one that it has seen.
async fn is_there(registry: &OnceLock<Registry>, project: ProjectId, image: &proto::Image) -> bool {
    let registry = registry.get().expect("set");
    let (_, digest) = image.reference.split_once('@').expect("by digest");
    let url = format!("{}/v2/apps/{project}/manifests/{digest}", registry.url());
    let ask = reqwest::Client::new().head(url).bearer_auth(registry.token(project, &[Pull]));
    let ask = ask.header("accept", "application/vnd.docker.distribution.manifest.v2+json");
    ask.send().await.expect("an answer").status() == 200
}

#[test]
fn our_name_and_password_push_pull_and_remove() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let realm = format!("http://{}/token", listener.local_addr().expect("bound"));
    let mut registry = Registry::stopped().with_realm(realm);
    registry.restart();
    let settings = |password: &str| RegistryConfig {
        address: registry.address(),
        prefix: "apps".to_owned(),
        url: registry.url(),
        username: "us".to_owned(),
        password: Secret::new(password),
    };
    let (right, wrong) = (settings("a secret"), settings("another"));
    let shared = Arc::new(OnceLock::from(registry));
    in_world_with(
        |config| config.registry = Some(right),
        |mut world| async move {
            tokio::spawn(give_tokens(listener, Arc::clone(&shared)));
            let image = world.image(&["serve"], "").await;
            assert!(is_there(&shared, world.project, &image).await);
            world.lose_images().await;
            let request = world.release(&image, 1);
            assert!(world.start(&request, 20).await.ready);

            let remove = proto::RemoveProjectRequest { scope: world.scope(1), ..Default::default() };
            world.client.remove_project(remove).await.expect("removed");
            assert!(!is_there(&shared, world.project, &image).await, "gone there too");
            world.client.collect_registry(proto::CollectRegistryRequest {}).await.expect("not our affair");

            world.config.registry = Some(wrong);
            world.client = crate::world::client(world.config.clone()).await;
            let dockerfile = b"FROM scratch\nCOPY app /app\nCMD [\"/app\"]\n".to_vec();
            let build = world.start_build(&[("Dockerfile", dockerfile), ("app", app())], 0).await;
            assert_eq!(world.follow(build).await.1.outcome(), BuildOutcome::Internal);
        },
    );
}
