//! A push, from the client's side.

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_is_built_stored_deployed_and_can_be_cloned_back() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    let tip = world.commit(&ada, &at, "second").await;
    world
        .git(&ada, &at, &["push", "paas", "main"])
        .await
        .ok()
        .says("remote: Build ")
        .says("remote: compiling")
        .says("remote: shop is live at http://shop.user-app.localhost");
    assert_eq!(world.tip(&project, "refs/heads/main"), tip);
    let clone = world.dir.path().join("clone");
    let to = clone.to_str().expect("UTF-8");
    world.git(&ada, world.dir.path(), &["clone", "-q", &world.url(&project.id.to_string()), to]).await.ok();
    assert_eq!(std::fs::read_to_string(clone.join("Dockerfile")).expect("cloned"), "FROM scratch\n");
    let state = world.fake.state();
    assert_eq!(state.sources.len(), 1);
    assert_eq!(state.updated[0].updates[0].new_oid, tip);
}
