//! What is not ours is never touched.

use std::collections::HashMap;

use bollard::{
    models::{ContainerCreateBody, VolumeCreateRequest},
    query_parameters::{CreateContainerOptions, RemoveContainerOptions},
};
use paastech_labels::{LabelKey, ObjectKind, ObjectLabels, RouteLabels};
use paastech_proto::pomegranate as proto;
use paastech_types::ReleaseId;
use tonic::Code;

use crate::world::{World, in_world};

#[test]
fn a_container_with_a_forged_signature_is_neither_listed_nor_removed() {
    in_world(|mut world| async move {
        let image = world.image(&["never"], "").await;
        let forged = labels(&world, &LabelKey::new([8; 32]));
        let id = create(&world, &image, "forged", forged).await;
        assert!(world.status().await.is_empty());
        let remove = proto::RemoveProjectRequest { scope: world.scope(1), ..Default::default() };
        // The image is in use by what is not ours: that must not stop the rest.
        let _ = world.client.remove_project(remove).await;
        world.docker.inspect_container(&id, None).await.expect("still there");
    });
}

#[test]
fn another_installations_containers_are_left_alone() {
    in_world(|mut world| async move {
        let image = world.image(&["never"], "").await;
        let mut other = RouteLabels { instance: "test-other".to_owned(), ..route(&world) };
        other.hosts.clear();
        let labels = other.to_labels(&crate::world::key()).into_iter().collect();
        let id = create(&world, &image, "foreign", labels).await;
        assert!(world.status().await.is_empty());
        let list = world.client.list(proto::ListRequest {}).await.expect("lists").into_inner();
        assert!(list.containers.is_empty());
        world.docker.inspect_container(&id, None).await.expect("still there");
        let force = RemoveContainerOptions { force: true, v: true, link: false };
        world.docker.remove_container(&id, Some(force)).await.expect("removed by its maker");
    });
}

#[test]
fn a_foreign_container_with_our_name_is_not_replaced() {
    in_world(|mut world| async move {
        let image = world.image(&["never"], "").await;
        let request = world.release(&image, 1);
        let name = format!("pt-{}-{}-1", world.project, request.release_id);
        let labels = labels(&world, &LabelKey::new([8; 32]));
        let id = create(&world, &image, &name, labels).await;
        let error = world.client.start_release(request).await.expect_err("refused");
        assert_eq!(error.code(), Code::FailedPrecondition, "{}", error.message());
        world.docker.inspect_container(&id, None).await.expect("still there");
    });
}

#[test]
fn another_projects_image_cannot_be_run_or_deleted() {
    in_world(|mut world| async move {
        let image = world.image(&["never"], "").await;
        let owner = world.project;
        world.project = paastech_types::ProjectId::new();
        let request = world.release(&image, 1);
        let error = world.client.start_release(request).await.expect_err("refused");
        assert_eq!(error.code(), Code::NotFound);
        let prune = |world: &World, keep: &[String]| proto::PruneImagesRequest {
            scope: world.scope(1),
            keep: keep.to_vec(),
            ..Default::default()
        };
        let all = prune(&world, &[]);
        world.client.prune_images(all).await.expect("nothing to do");
        world.project = owner;
        let kept = prune(&world, std::slice::from_ref(&image.reference));
        world.client.prune_images(kept).await.expect("nothing to do");
        world.docker.inspect_image(&image.reference).await.expect("still there");
        for _ in 0..2 {
            let all = prune(&world, &[]);
            world.client.prune_images(all).await.expect("prunes");
        }
        world.docker.inspect_image(&image.reference).await.expect_err("gone");
    });
}

#[test]
fn an_image_with_reserved_labels_is_refused_whoever_built_it() {
    in_world(|mut world| async move {
        let image = world.image(&["never"], "").await;
        let id = create(&world, &image, "labelled", HashMap::new()).await;
        let reference = format!("{}labelled", crate::world::repository(&world.config.instance));
        let commit = bollard::query_parameters::CommitContainerOptions {
            container: Some(id.clone()),
            repo: Some(reference.replace('/', "-")),
            changes: Some("LABEL traefik.enable=true".to_owned()),
            ..Default::default()
        };
        world
            .docker
            .commit_container(commit, bollard::models::ContainerConfig::default())
            .await
            .expect("commits");
        let mut request = world.release(&image, 1);
        request.image_reference = reference.replace('/', "-");
        let error = world.client.start_release(request.clone()).await.expect_err("refused");
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert!(error.message().contains("traefik.enable"), "{}", error.message());
        let force = bollard::query_parameters::RemoveImageOptions { force: true, ..Default::default() };
        world.docker.remove_image(&request.image_reference, Some(force), None).await.expect("removed");
        let force = RemoveContainerOptions { force: true, v: true, link: false };
        world.docker.remove_container(&id, Some(force)).await.expect("removed by its maker");
    });
}

#[test]
fn holders_and_old_probes_are_swept_and_nothing_else() {
    in_world(|mut world| async move {
        let image = world.image(&["serve"], "").await;
        let request = world.release(&image, 1);
        assert!(world.start(&request, 20).await.ready);
        let holder = ObjectLabels::shared(&world.config.instance, ObjectKind::Holder);
        let id =
            create(&world, &image, "holder", holder.to_labels(&crate::world::key()).into_iter().collect())
                .await;
        let volume = VolumeCreateRequest {
            name: Some(format!("test-{}", world.project)),
            labels: Some([("paastech.instance".to_owned(), world.config.instance.clone())].into()),
            ..VolumeCreateRequest::default()
        };
        world.docker.create_volume(volume).await.expect("a volume");
        let old = format!("test-{}-old-probe", world.project);
        let probe = ObjectLabels::shared(&world.config.instance, ObjectKind::Probe);
        let volume = VolumeCreateRequest {
            name: Some(old.clone()),
            labels: Some(probe.to_labels(&crate::world::key()).into_iter().collect()),
            ..VolumeCreateRequest::default()
        };
        world.docker.create_volume(volume).await.expect("a volume");
        crate::world::client(world.config.clone()).await;
        world.docker.inspect_container(&id, None).await.expect_err("swept");
        assert_eq!(world.status().await[0].state, "running");
        let name = format!("test-{}", world.project);
        world.docker.inspect_volume(&name).await.expect("still there");
        world.docker.inspect_volume(&old).await.expect_err("no container has it: swept");
    });
}

fn route(world: &World) -> RouteLabels {
    RouteLabels {
        instance: world.config.instance.clone(),
        project: world.project,
        release: ReleaseId::new(),
        seq: 1,
        process: "web".to_owned(),
        ordinal: 1,
        hosts: Vec::new(),
        port: 80,
        network: "bridge".to_owned(),
        spec_hash: "x".to_owned(),
    }
}

fn labels(world: &World, key: &LabelKey) -> HashMap<String, String> {
    route(world).to_labels(key).into_iter().collect()
}

async fn create(world: &World, image: &proto::Image, name: &str, labels: HashMap<String, String>) -> String {
    let name = if name.starts_with("pt-") { name.to_owned() } else { format!("{name}-{}", world.project) };
    let options = CreateContainerOptions { name: Some(name), ..CreateContainerOptions::default() };
    let body = ContainerCreateBody {
        image: Some(image.id.clone()),
        labels: Some(labels),
        ..ContainerCreateBody::default()
    };
    world.docker.create_container(Some(options), body).await.expect("created").id
}
