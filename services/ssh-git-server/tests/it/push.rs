//! A push, from the client's side.

use std::fs;

use crate::world::{Started, World, deployed, eventually};

#[tokio::test]
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
        .says("end it with `paastech cancel ")
        .says("remote: compiling")
        .says("remote: shop is live at http://shop.user-app.localhost");
    assert_eq!(world.tip(&project, "refs/heads/main"), tip);
    let clone = world.dir.path().join("clone");
    let to = clone.to_str().expect("UTF-8");
    world.git(&ada, world.dir.path(), &["clone", "-q", &world.url(&project.id.to_string()), to]).await.ok();
    assert_eq!(fs::read_to_string(clone.join("Dockerfile")).expect("cloned"), "FROM scratch\n");
    let partial = world.dir.path().join("partial");
    let to = partial.to_str().expect("UTF-8");
    let filtered = ["clone", "-q", "--filter=blob:none", &world.url("shop"), to];
    world.git(&ada, world.dir.path(), &filtered).await.ok();
    let state = world.fake.state();
    assert_eq!(state.updated[0].updates[0].new_oid, tip);
    let names: Vec<String> = tar_names(&state.sources[0]);
    assert_eq!(names, ["./", "Dockerfile"]);
}

fn tar_names(source: &[u8]) -> Vec<String> {
    // Each header is 512 bytes; no file here has more than 512 bytes of content.
    let mut names = Vec::new();
    let mut rest = source;
    while rest.len() >= 512 && rest[0] != 0 {
        let name = rest[..100].split(|byte| *byte == 0).next().unwrap_or_default();
        names.push(String::from_utf8_lossy(name).into_owned());
        let size = if rest[124..135].iter().all(|digit| *digit == b'0') { 0 } else { 512 };
        rest = &rest[512 + size..];
    }
    names
}

#[tokio::test]
async fn a_failed_build_rejects_the_push_and_the_next_one_works() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    if let Some(build) = &mut world.fake.state().build {
        build.accepted = false;
        build.message = "the build failed: no such package".to_owned();
    }
    world
        .git(&ada, &at, &["push", "paas", "main"])
        .await
        .fails()
        .says("remote: error: the build failed: no such package")
        .says("pre-receive hook declined");
    assert_eq!(world.tip(&project, "refs/heads/main"), "");
    if let Some(build) = &mut world.fake.state().build {
        build.accepted = true;
    }
    world.git(&ada, &at, &["push", "paas", "main"]).await.ok();
    assert_ne!(world.tip(&project, "refs/heads/main"), "");
    assert_eq!(world.fake.state().updated.len(), 1, "the rejected push deployed nothing");
}

#[tokio::test]
async fn a_failed_deployment_fails_the_push_whose_ref_has_moved() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    let mut failed = deployed();
    failed.state = "failed".to_owned();
    failed.message = "the release command exited with 3".to_owned();
    world.fake.state().deploy = Some(failed);
    world
        .git(&ada, &at, &["push", "paas", "main"])
        .await
        .fails()
        .says("remote: error: the deployment is failed: the release command exited with 3");
    assert_ne!(world.tip(&project, "refs/heads/main"), "");
}

#[tokio::test]
async fn other_branches_and_tags_are_stored_and_say_so() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    let push = world.git(&ada, &at, &["push", "paas", "main:topic"]).await.ok();
    push.says("remote: not the deploy branch (main), nothing built");
    world.git(&ada, &at, &["tag", "-a", "v1", "-m", "one"]).await.ok();
    world.git(&ada, &at, &["push", "paas", "v1"]).await.ok();
    assert_ne!(world.tip(&project, "refs/heads/topic"), "");
    assert_ne!(world.tip(&project, "refs/tags/v1"), "");
    world.git(&ada, &at, &["push", "paas", "--delete", "topic"]).await.ok();
    assert_eq!(world.tip(&project, "refs/heads/topic"), "");
    assert!(world.fake.state().sources.is_empty());
}

#[tokio::test]
async fn a_force_push_moves_the_branch_and_a_plain_one_that_is_behind_does_not() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    world.git(&ada, &at, &["push", "paas", "main"]).await.ok();
    world.git(&ada, &at, &["commit", "-q", "--amend", "-m", "rewritten"]).await.ok();
    world.git(&ada, &at, &["push", "paas", "main"]).await.fails().says("non-fast-forward");
    world.git(&ada, &at, &["push", "--force", "paas", "main"]).await.ok();
    let tip = world.git(&ada, &at, &["rev-parse", "HEAD"]).await.out;
    assert_eq!(world.tip(&project, "refs/heads/main"), tip.trim());
}

#[tokio::test]
async fn the_deploy_branch_cannot_be_deleted_and_nothing_else_of_that_push_happens() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    world.git(&ada, &at, &["push", "paas", "main"]).await.ok();
    world
        .git(&ada, &at, &["push", "paas", ":main", "main:topic"])
        .await
        .fails()
        .says("main is the deploy branch and cannot be deleted");
    assert_ne!(world.tip(&project, "refs/heads/main"), "");
    assert_eq!(world.tip(&project, "refs/heads/topic"), "");
}

#[tokio::test]
async fn the_platforms_own_refs_are_out_of_reach() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    world.git(&ada, &at, &["push", "paas", "main:refs/paas/x"]).await.fails();
    assert_eq!(world.tip(&project, "refs/paas/x"), "");
    world.git(&ada, &at, &["push", "paas", "main"]).await.ok();
    let repository = git2::Repository::open_bare(world.repository(&project)).expect("a repository");
    let tip = repository.refname_to_id("refs/heads/main").expect("a tip");
    repository.reference("refs/paas/kept", tip, false, "test").expect("made");
    let seen = world.git(&ada, &at, &["ls-remote", "paas"]).await.ok();
    assert!(seen.out.contains("refs/heads/main") && !seen.out.contains("refs/paas"), "{}", seen.out);
}

#[tokio::test]
async fn a_push_from_a_shallow_clone_is_refused_with_the_way_out() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    world.commit(&ada, &at, "second").await;
    let from = format!("file://{}", at.display());
    world.git(&ada, world.dir.path(), &["clone", "-q", "--depth", "1", &from, "shallow"]).await.ok();
    let shallow = world.dir.path().join("shallow");
    let push = world.git(&ada, &shallow, &["push", &world.url("shop"), "main"]).await;
    push.fails().says("this clone is shallow").says("git fetch --unshallow");
    assert_eq!(world.tip(&project, "refs/heads/main"), "");
    assert!(world.fake.state().opened.is_empty(), "nothing was built");
    world.git(&ada, &at, &["push", "paas", "main"]).await.ok();
    world.commit(&ada, &shallow, "on top of what is known").await;
    world.git(&ada, &shallow, &["push", &world.url("shop"), "main"]).await.ok();
}

#[tokio::test]
async fn an_empty_project_can_be_cloned_and_pushed_from_there() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    world.git(&ada, world.dir.path(), &["clone", "-q", &world.url("shop"), "empty"]).await.ok();
    let at = world.dir.path().join("empty");
    fs::write(at.join("a"), "a").expect("written");
    world.commit(&ada, &at, "first").await;
    world.git(&ada, &at, &["push", "origin", "HEAD:main"]).await.ok();
    assert_ne!(world.tip(&project, "refs/heads/main"), "");
}

#[tokio::test]
async fn push_options_arrive_as_they_are_and_too_many_are_refused() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    let options = ["push", "-o", "a;b=c $(id)", "-o", "--exec=x", "paas", "main"];
    world.git(&ada, &at, &options).await.ok();
    assert_eq!(world.fake.state().opened[0].options, ["a;b=c $(id)", "--exec=x"]);
    world.commit(&ada, &at, "second").await;
    let mut many = vec!["push"];
    many.extend(["-o", "x"].repeat(65));
    many.extend(["paas", "main"]);
    world.git(&ada, &at, &many).await.fails().says("at most 64 options");
    let long = "x".repeat(2000);
    world.git(&ada, &at, &["push", "-o", &long, "paas", "main"]).await.fails().says("1024 bytes");
    assert_eq!(world.fake.state().opened.len(), 1);
}

#[tokio::test]
async fn a_ref_that_moved_since_the_push_began_stops_it_before_the_build() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    world.git(&ada, &at, &["push", "paas", "main"]).await.ok();
    world.commit(&ada, &at, "second").await;
    let path = world.repository(&project);
    world.fake.state().on_open = Some(Box::new(move || {
        let repository = git2::Repository::open_bare(path).expect("a repository");
        repository.find_reference("refs/heads/main").and_then(|mut main| main.delete()).expect("moved");
    }));
    let push = world.git(&ada, &at, &["push", "paas", "main"]).await.fails();
    push.says("refs/heads/main has moved since this push began: fetch, then push again");
    assert_eq!(world.fake.state().sources.len(), 1, "only the first push was built");
}

#[tokio::test]
async fn a_ref_that_moved_during_the_build_is_told_as_such() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    world.git(&ada, &at, &["push", "paas", "main"]).await.ok();
    world.commit(&ada, &at, "second").await;
    world.fake.state().sent_lines = 0;
    if let Some(build) = &mut world.fake.state().build {
        build.held = true;
    }
    let push = Started::start(world.git_command(&ada.key, &at, &["push", "paas", "main"]));
    eventually("the build runs", || world.fake.state().sent_lines > 0).await;
    {
        let repository = git2::Repository::open_bare(world.repository(&project)).expect("a repository");
        repository.find_reference("refs/heads/main").and_then(|mut main| main.delete()).expect("moved");
    }
    world.fake.release();
    let push = push.finish().await.fails();
    push.says("refs/heads/main has moved since this push began: fetch, then push again");
}

#[tokio::test]
async fn a_long_hostile_log_is_shown_harmless_and_cut() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    if let Some(build) = &mut world.fake.state().build {
        build.lines = vec!["\u{1b}[2J\u{1b}]0;owned\u{7}clear".to_owned(), "x".repeat(3 << 20)];
        build.lines.extend(std::iter::repeat_n("y".repeat(1000), 12_000));
    }
    let push = world.git(&ada, &at, &["push", "paas", "main"]).await.ok();
    let push = push.says("remote: 0;ownedclear").says("the log is too long to be shown here");
    assert!(!push.err.contains("\u{1b}[2J") && !push.err.contains('\u{7}'));
    assert!(push.err.len() < 12 << 20, "{} bytes", push.err.len());
    push.says("shop is live");
}
