//! An api that goes away in the middle of a push, and comes back, or does not.

use paastech_ssh_git_server::config::Limits;

use crate::world::{Started, World, deployed, eventually};

#[tokio::test]
async fn a_build_outlives_an_outage_of_the_api_and_no_line_is_lost_or_doubled() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    if let Some(build) = &mut world.fake.state().build {
        build.held = true;
    }
    let push = Started::start(world.git_command(&ada.key, &at, &["push", "paas", "main"]));
    eventually("the build runs", || world.fake.state().sent_lines > 0).await;
    world.fake.go_away();
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    world.fake.come_back();
    eventually("it is followed again", || world.fake.state().followed_from.len() > 1).await;
    world.fake.release();
    let push = push.finish().await.ok().says("shop is live");
    assert_eq!(push.err.matches("waiting for it to come back").count(), 1, "{}", push.err);
    assert_eq!(push.err.matches("remote: compiling").count(), 1, "{}", push.err);
    let state = world.fake.state();
    assert_eq!(state.followed_from, [1, 2]);
    assert_eq!((state.opened.len(), state.sources.len()), (1, 1), "one push, and its source sent once");
}

#[tokio::test]
async fn a_source_that_a_restart_lost_is_sent_again() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    world.fake.state().lose_source = true;
    let push = world.git(&ada, &at, &["push", "paas", "main"]).await.ok();
    assert_eq!(push.err.matches("paastech cancel").count(), 1, "{}", push.err);
    let state = world.fake.state();
    assert_eq!(state.sources.len(), 2);
    assert_eq!(state.sources[0], state.sources[1]);
}

#[tokio::test]
async fn an_outage_that_lasts_rejects_the_push() {
    let world = World::with(Limits { reconnect_seconds: 1, ..Limits::default() }).await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    if let Some(build) = &mut world.fake.state().build {
        build.held = true;
    }
    let push = Started::start(world.git_command(&ada.key, &at, &["push", "paas", "main"]));
    eventually("the build runs", || world.fake.state().sent_lines > 0).await;
    world.fake.go_away();
    push.finish().await.fails().says("the platform cannot answer now; try again in a moment");
    assert_eq!(world.tip(&project, "refs/heads/main"), "");
    world.fake.come_back();
    let id = world.fake.state().opened[0].push_id.clone();
    eventually("the push is closed once that can be said", || world.fake.state().closed.contains(&id)).await;
}

#[tokio::test]
async fn a_second_outage_has_its_full_time() {
    let world = World::with(Limits { reconnect_seconds: 2, ..Limits::default() }).await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    if let Some(build) = &mut world.fake.state().build {
        build.held = true;
    }
    let push = Started::start(world.git_command(&ada.key, &at, &["push", "paas", "main"]));
    eventually("the build runs", || world.fake.state().sent_lines > 0).await;
    for outage in 1..3 {
        world.fake.go_away();
        tokio::time::sleep(std::time::Duration::from_millis(800)).await;
        world.fake.come_back();
        eventually("it is followed again", || world.fake.state().followed_from.len() > outage).await;
        // Longer than one outage may last.
        tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    }
    world.fake.release();
    push.finish().await.ok().says("shop is live");
}

#[tokio::test]
async fn a_deployment_is_watched_through_an_outage() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    let mut slow = deployed();
    slow.held = true;
    world.fake.state().deploy = Some(slow);
    let push = Started::start(world.git_command(&ada.key, &at, &["push", "paas", "main"]));
    eventually("the deployment is asked for", || !world.fake.state().updated.is_empty()).await;
    world.fake.go_away();
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    world.fake.come_back();
    world.fake.release();
    push.finish().await.ok().says("shop is live");
}
