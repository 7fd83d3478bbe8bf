//! Fences.

use paastech_proto::pomegranate as proto;
use paastech_types::ReleaseId;
use tonic::Code;

use crate::world::{client, in_world};

#[test]
fn a_lower_fence_is_refused_also_after_a_restart() {
    in_world(|mut world| async move {
        let project = world.project;
        let remove = |fence| proto::RemoveReleaseRequest {
            scope: Some(proto::Scope { project_id: project.to_string(), fence }),
            release_id: ReleaseId::new().to_string(),
            grace_seconds: 1,
            drain_seconds: 0,
        };
        world.client.remove_release(remove(5)).await.expect("the first");
        let refused = world.client.remove_release(remove(4)).await.expect_err("refused");
        assert_eq!(refused.code(), Code::AlreadyExists);
        let mut again = client(world.config.clone()).await;
        let refused = again.remove_release(remove(4)).await.expect_err("refused");
        assert_eq!(refused.code(), Code::AlreadyExists);
        again.remove_release(remove(6)).await.expect("a higher one");
    });
}

#[test]
fn seeding_is_remembered() {
    in_world(|mut world| async move {
        let list = world.client.list(proto::ListRequest {}).await.expect("lists").into_inner();
        assert!(!list.seeded);
        let highest = vec![world.scope(9).expect("a scope")];
        world.client.seed_fences(proto::SeedFencesRequest { highest }).await.expect("seeds");
        let mut again = client(world.config.clone()).await;
        assert!(again.list(proto::ListRequest {}).await.expect("lists").into_inner().seeded);
        let remove = proto::RemoveProjectRequest { scope: world.scope(8), ..Default::default() };
        let refused = again.remove_project(remove).await.expect_err("refused");
        assert_eq!(refused.code(), Code::AlreadyExists);
    });
}
