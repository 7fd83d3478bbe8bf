//! Built images in a real registry: pushed by digest, had again from there, and removed.

use std::{fs::File, time::Duration};

use paastech_proto::pomegranate::{self as proto, BuildOutcome, BuildResult};
use paastech_registry::{
    Action::{Delete, Pull, Push},
    testing::Registry,
};
use paastech_types::{BuildId, ProjectId};
use pomegranate::{Config, RegistryConfig};
use tonic::Code;

use crate::{
    registry_container,
    world::{World, app, client, in_world_with},
};

/// A world whose images are kept in that registry.
fn kept_in(registry: &Registry) -> impl FnOnce(&mut Config) + use<> {
    let settings = RegistryConfig {
        address: registry.address(),
        prefix: "apps".to_owned(),
        url: registry.url(),
        username: String::new(),
        password: Default::default(),
    };
    |config| config.registry = Some(settings)
}

/// Builds the app with a token to push it.
async fn build(world: &mut World, registry: &Registry, more: &str) -> (Vec<String>, BuildResult) {
    let token = registry.token(world.project, &[Pull, Push]);
    build_with(world, token, more).await
}

async fn build_with(world: &mut World, token: String, more: &str) -> (Vec<String>, BuildResult) {
    let id = start_build(world, token, more).await;
    let (lines, result) = world.follow(id).await;
    (lines.into_iter().map(|line| line.text).collect(), result)
}

async fn start_build(world: &mut World, registry_token: String, more: &str) -> BuildId {
    start_build_within(world, registry_token, more, 0).await
}

async fn start_build_within(
    world: &mut World,
    registry_token: String,
    more: &str,
    timeout_seconds: u32,
) -> BuildId {
    let dockerfile = format!("FROM scratch\nCOPY app /app\n{more}\nCMD [\"/app\", \"serve\"]\n");
    let files = [("Dockerfile", dockerfile.into_bytes()), ("app", app())];
    let upload = world.upload(&files, timeout_seconds).await;
    let request = proto::StartBuildRequest { registry_token, no_cache: false, ..upload };
    world.client.start_build(request.clone()).await.expect("the build starts");
    request.build_id.parse().expect("an id")
}

async fn image(world: &mut World, registry: &Registry, more: &str) -> proto::Image {
    let (lines, result) = build(world, registry, more).await;
    assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{} {lines:#?}", result.message);
    result.image.expect("an image")
}

/// The engine loses every image of the project.
async fn lose(world: &World, image: &proto::Image) {
    world.lose_images().await;
    world.docker.inspect_image(&image.reference).await.expect_err("lost");
}

/// The request that starts the image, allowed to pull it.
fn release(world: &World, registry: &Registry, image: &proto::Image, seq: i64) -> proto::StartReleaseRequest {
    let registry_token = registry.token(world.project, &[Pull]);
    proto::StartReleaseRequest { registry_token, ..world.release(image, seq) }
}

async fn prune(world: &mut World, registry: &Registry, keep: &[&proto::Image]) {
    let registry_token = registry.token(world.project, &[Pull, Delete]);
    let keep = keep.iter().map(|image| image.reference.clone()).collect();
    let request = proto::PruneImagesRequest { scope: world.scope(1), keep, registry_token };
    world.client.prune_images(request).await.expect("pruned");
}

#[test]
fn an_image_is_pushed_by_digest_and_started_from_the_registry_once_the_engine_has_lost_it() {
    let registry = Registry::start();
    in_world_with(kept_in(&registry), |mut world| async move {
        let image = image(&mut world, &registry, "").await;
        let root = format!("{}/apps/{}@sha256:", registry.address(), world.project);
        assert!(image.reference.starts_with(&root), "{}", image.reference);
        let list = world.client.list(proto::ListRequest {}).await.expect("lists").into_inner().images;
        assert!(list.iter().any(|held| held.reference == image.reference && held.id == image.id));

        lose(&world, &image).await;
        let request = release(&world, &registry, &image, 1);
        let without = proto::StartReleaseRequest { registry_token: String::new(), ..request.clone() };
        let refused = world.client.start_release(without).await.expect_err("nobody may pull it");
        assert_eq!(refused.code(), Code::Internal, "{refused}");
        let ready = world.start(&request, 20).await;
        assert!(ready.ready, "{}", ready.reason);
        assert_eq!(world.status().await[0].image_id, image.id);
    });
}

#[test]
fn a_registry_that_is_down_fails_the_push_in_words_and_is_pushed_to_when_it_is_back_in_time() {
    let mut registry = Registry::stopped();
    in_world_with(kept_in(&registry), |mut world| async move {
        let (lines, result) = build(&mut world, &registry, "").await;
        assert_eq!(result.outcome(), BuildOutcome::Unavailable, "{lines:#?}");
        assert_eq!(result.message, "the registry does not answer: push again later");
        let list = world.client.list(proto::ListRequest {}).await.expect("lists").into_inner();
        assert!(list.images.is_empty(), "an image that nobody will run is removed");

        let token = registry.token(world.project, &[Pull, Push]);
        let (registry, (lines, result)) = tokio::join!(
            tokio::task::spawn_blocking(|| {
                std::thread::sleep(Duration::from_secs(4));
                registry.restart();
                registry
            }),
            build_with(&mut world, token, ""),
        );
        assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{} {lines:#?}", result.message);
        drop(registry);
    });
}

#[test]
fn without_the_registry_an_image_that_is_here_starts_and_one_that_is_not_waits_for_it() {
    let mut registry = Registry::start();
    in_world_with(kept_in(&registry), |mut world| async move {
        let image = image(&mut world, &registry, "").await;
        registry.stop();
        let first = release(&world, &registry, &image, 1);
        assert!(world.start(&first, 20).await.ready);
        let remove = proto::RemoveReleaseRequest {
            scope: world.scope(1),
            release_id: first.release_id.clone(),
            ..Default::default()
        };
        world.client.remove_release(remove).await.expect("removed");

        lose(&world, &image).await;
        let second = release(&world, &registry, &image, 2);
        let waits = world.client.start_release(second.clone()).await.expect_err("not now");
        assert_eq!((waits.code(), waits.message()), (Code::Unavailable, "the registry does not answer"));
        registry.restart();
        assert!(world.start(&second, 20).await.ready);
    });
}

#[test]
fn only_the_projects_own_token_pushes_and_pulls_its_images() {
    let registry = Registry::start();
    in_world_with(kept_in(&registry), |mut world| async move {
        let image = image(&mut world, &registry, "").await;
        lose(&world, &image).await;
        let (mine, other) = (world.project, ProjectId::new());
        let late = Duration::from_secs(120);
        for token in [registry.token(other, &[Pull, Push]), registry.token(mine, &[Pull])] {
            let (lines, result) = build_with(&mut world, token, "ENV WHOSE=another").await;
            assert_eq!(result.outcome(), BuildOutcome::Internal, "{lines:#?}");
        }
        for (whose, registry_token) in [
            ("nobody's", String::new()),
            ("another's", registry.token(other, &[Pull])),
            ("expired", registry.expired_token(mine, &[Pull], late)),
            ("for less", registry.token(mine, &[Delete])),
        ] {
            let ensure = proto::EnsureImageRequest {
                project_id: mine.to_string(),
                image_reference: image.reference.clone(),
                registry_token,
            };
            let refused = world.client.ensure_image(ensure).await.expect_err(whose);
            assert_eq!(refused.code(), Code::Internal, "{whose}: {refused}");
        }
        // Not even with a token that opens it.
        let ensure = |project: ProjectId, image_reference: &str| proto::EnsureImageRequest {
            project_id: project.to_string(),
            image_reference: image_reference.to_owned(),
            registry_token: registry.token(mine, &[Pull]),
        };
        let theirs =
            world.client.ensure_image(ensure(other, &image.reference)).await.expect_err("not theirs");
        assert_eq!(theirs.code(), Code::NotFound);
        let never = format!("{}{}", &image.reference[..image.reference.len() - 4], "0000");
        let never = world.client.ensure_image(ensure(mine, &never)).await.expect_err("never pushed");
        assert_eq!(never.code(), Code::NotFound);
        world.client.ensure_image(ensure(mine, &image.reference)).await.expect("pulled");
        world.docker.inspect_image(&image.reference).await.expect("here again");
    });
}

#[test]
fn an_image_that_was_tampered_with_in_the_registry_does_not_start() {
    let registry = Registry::start();
    in_world_with(kept_in(&registry), |mut world| async move {
        // An engine keeps the manifests that it has seen, so nobody else may have made these.
        let unique = format!("ENV PROJECT={}", world.project);
        let other = image(&mut world, &registry, &format!("{unique}\nEXPOSE 81")).await;
        let image = image(&mut world, &registry, &unique).await;
        lose(&world, &image).await;
        lose(&world, &other).await;
        let evil = std::fs::read(registry.blob(&other.reference)).expect("a manifest");
        std::fs::write(registry.blob(&image.reference), evil).expect("replaced");
        let request = release(&world, &registry, &image, 1);
        let refused = world.client.start_release(request).await.expect_err("refused");
        assert_eq!(refused.code(), Code::Internal, "{refused}");
        assert!(world.status().await.is_empty());
        world.docker.inspect_image(&image.reference).await.expect_err("not taken");
    });
}

#[test]
fn projects_share_layers_in_the_registry_but_no_token() {
    let registry = Registry::start();
    in_world_with(kept_in(&registry), |mut world| async move {
        let first = image(&mut world, &registry, "").await;
        let stored = registry.stored_bytes();
        world.project = ProjectId::new();
        let second = image(&mut world, &registry, "").await;
        assert_eq!(first.id, second.id, "the engine knows that it has pushed these layers before");
        assert!(registry.stored_bytes() < stored + 1000, "they are kept once");
        lose(&world, &second).await;
        let request = release(&world, &registry, &second, 1);
        assert!(world.start(&request, 20).await.ready);
    });
}

#[test]
fn pruning_and_removal_leave_what_is_kept_and_collect_the_rest() {
    let registry = Registry::stopped();
    in_world_with(kept_in(&registry), |mut world| async move {
        registry_container::start(&world, &registry).await;
        world.client.collect_registry(proto::CollectRegistryRequest {}).await.expect("there is nothing yet");
        let [kept, same, spare] = [
            image(&mut world, &registry, "ENV A=1").await,
            image(&mut world, &registry, "ENV A=1").await,
            image(&mut world, &registry, "COPY app /spare\nENV A=2").await,
        ];
        assert_eq!(kept.reference, same.reference, "built twice, and the same");
        let all = registry.stored_bytes();
        prune(&mut world, &registry, &[&kept]).await;
        world.docker.inspect_image(&spare.reference).await.expect_err("removed here");
        world.client.collect_registry(proto::CollectRegistryRequest {}).await.expect("collected");
        let left = registry.stored_bytes();
        assert!(left < all, "{left} of {all} bytes are left");

        lose(&world, &kept).await;
        let gone = release(&world, &registry, &spare, 1);
        let gone = world.client.start_release(gone).await.expect_err("removed there");
        assert_eq!(gone.code(), Code::NotFound);
        let request = release(&world, &registry, &kept, 1);
        assert!(world.start(&request, 20).await.ready);

        // What was collected is pushed anew, whole.
        let again = image(&mut world, &registry, "COPY app /spare\nENV A=2").await;
        lose(&world, &again).await;
        let request = release(&world, &registry, &again, 2);
        assert!(world.start(&request, 20).await.ready);

        let registry_token = registry.token(world.project, &[Pull, Delete]);
        let remove = proto::RemoveProjectRequest { scope: world.scope(2), registry_token };
        for _ in 0..2 {
            world.client.remove_project(remove.clone()).await.expect("removed");
        }
        world.client.collect_registry(proto::CollectRegistryRequest {}).await.expect("collected");
        assert_eq!(registry.stored_bytes(), 0);
    });
}

#[test]
fn pushes_wait_for_a_collection_also_for_one_that_an_earlier_process_began() {
    let registry = Registry::stopped();
    in_world_with(kept_in(&registry), |mut world| async move {
        registry_container::start(&world, &registry).await;
        let pipe = registry_container::hold_collection(&registry);
        let mut collector = world.client.clone();
        let collection =
            tokio::spawn(async move { collector.collect_registry(proto::CollectRegistryRequest {}).await });
        let token = registry.token(world.project, &[Pull, Push]);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!collection.is_finished(), "{:?}", collection.await);
        let first = start_build(&mut world, token.clone(), "").await;
        world.says(first, "Waiting until the registry has been cleaned").await;

        world.client = client(world.config.clone()).await;
        // The wait is none of the build's time.
        let limit = 15;
        let second = start_build_within(&mut world, token, "", limit).await;
        world.says(second, "Built an image").await;
        tokio::time::sleep(Duration::from_secs(limit.into())).await;
        assert_eq!(registry.stored_bytes(), 0, "nobody sends anything");
        File::options().write(true).open(&pipe).expect("let go");
        let (lines, result) = world.follow(second).await;
        assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{} {lines:#?}", result.message);
        let failed = collection.await.expect("no panic").expect_err("it has read no link");
        assert_eq!(failed.code(), Code::Internal, "{failed}");
    });
}
