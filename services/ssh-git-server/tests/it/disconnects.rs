//! Clients that go away, and pushes that meet.

use std::{fs, path::Path, time::Duration};

use paastech_ssh_git_server::config::Limits;
use rustix::process::Signal;

use crate::{
    client,
    program::Program,
    world::{Started, World, deployed, eventually, processes_on},
};

#[tokio::test]
async fn a_client_that_leaves_before_the_refs_move_ends_the_push() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    if let Some(build) = &mut world.fake.state().build {
        build.held = true;
    }
    let push = Started::start(world.git_command(&ada.key, &at, &["push", "paas", "main"]));
    eventually("the build runs", || world.fake.state().sent_lines > 0).await;
    push.interrupt().await;
    let id = world.fake.state().opened[0].push_id.clone();
    eventually("the push is closed", || world.fake.state().closed.contains(&id)).await;
    let path = world.repository(&project);
    eventually("no git child is left", || processes_on(&path).is_empty()).await;
    world.fake.release();
    assert_eq!(world.tip(&project, "refs/heads/main"), "");
    assert_eq!(quarantines(&path), Vec::<String>::new());
    assert!(world.fake.state().updated.is_empty());
    world.git(&ada, &at, &["push", "paas", "main"]).await.ok();
}

#[tokio::test]
async fn a_client_that_leaves_after_the_refs_moved_changes_nothing() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    let mut slow = deployed();
    slow.held = true;
    world.fake.state().deploy = Some(slow);
    let push = Started::start(world.git_command(&ada.key, &at, &["push", "paas", "main"]));
    eventually("the deployment is asked for", || !world.fake.state().updated.is_empty()).await;
    push.interrupt().await;
    let id = world.fake.state().opened[0].push_id.clone();
    eventually("the push is closed", || world.fake.state().closed.contains(&id)).await;
    let path = world.repository(&project);
    eventually("no git child is left", || processes_on(&path).is_empty()).await;
    assert_ne!(world.tip(&project, "refs/heads/main"), "");
    world.git(&ada, &at, &["ls-remote", "paas"]).await.ok();
}

#[tokio::test]
async fn a_client_that_leaves_while_its_log_floods_leaves_no_process() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    if let Some(build) = &mut world.fake.state().build {
        build.lines = vec!["z".repeat(1000); 8_000];
    }
    let push = Started::start(world.git_command(&ada.key, &at, &["push", "paas", "main"]));
    // Nobody reads what the client prints, so it stops reading, so does ssh: git's pipe is full.
    eventually("the log flows", || world.fake.state().sent_lines > 100).await;
    push.interrupt().await;
    let path = world.repository(&project);
    eventually("no git child is left", || processes_on(&path).is_empty()).await;
    let id = world.fake.state().opened[0].push_id.clone();
    eventually("the push is closed", || world.fake.state().closed.contains(&id)).await;
}

#[tokio::test]
async fn of_two_pushes_at_once_the_second_is_refused_by_the_api() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let (one, two) = (world.working_copy(&ada, &project).await, world.working_copy(&ada, &project).await);
    let tip = world.commit(&ada, &one, "mine").await;
    world.commit(&ada, &two, "another").await;
    if let Some(build) = &mut world.fake.state().build {
        build.held = true;
    }
    let first = Started::start(world.git_command(&ada.key, &one, &["push", "paas", "main"]));
    eventually("the build runs", || world.fake.state().sent_lines > 0).await;
    let second = world.git(&ada, &two, &["push", "paas", "main"]).await.fails();
    second.says("remote: another push is being built: build 42").says("pre-receive hook declined");
    world.fake.release();
    first.finish().await.ok();
    assert_eq!(world.tip(&project, "refs/heads/main"), tip);
}

#[tokio::test]
async fn pushes_to_many_projects_at_once_all_arrive() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let mut pushes = Vec::new();
    let mut projects = Vec::new();
    for n in 0..6 {
        let project = world.project(&ada, &format!("shop-{n}")).await;
        let at = world.working_copy(&ada, &project).await;
        pushes.push(Started::start(world.git_command(&ada.key, &at, &["push", "paas", "main"])));
        projects.push(project);
    }
    for push in pushes {
        push.finish().await.ok();
    }
    for project in &projects {
        assert_ne!(world.tip(project, "refs/heads/main"), "");
    }
}

#[tokio::test]
async fn a_push_that_takes_too_long_is_ended() {
    let world = World::with(Limits { push_seconds: 2, ..Limits::default() }).await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    if let Some(build) = &mut world.fake.state().build {
        build.held = true;
    }
    world.git(&ada, &at, &["push", "paas", "main"]).await.fails();
    let path = world.repository(&project);
    eventually("no git child is left", || processes_on(&path).is_empty()).await;
    assert_eq!(world.tip(&project, "refs/heads/main"), "");
}

#[tokio::test]
async fn a_drain_finishes_the_push_under_way_and_takes_no_other() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    if let Some(build) = &mut world.fake.state().build {
        build.held = true;
    }
    let push = Started::start(world.git_command(&ada.key, &at, &["push", "paas", "main"]));
    eventually("the build runs", || world.fake.state().sent_lines > 0).await;
    world.shutdown.start_drain();
    world.ssh(&ada.key, &["-T"], &[]).await.fails().never_says("Hello");
    world.fake.release();
    push.finish().await.ok().says("shop is live");
    let stopped = world.shutdown.stop(Duration::from_secs(10));
    tokio::time::timeout(Duration::from_secs(5), stopped).await.expect("nothing is left to wait for");
}

#[tokio::test]
async fn a_cut_ends_a_push_that_does_not_end() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    if let Some(build) = &mut world.fake.state().build {
        build.held = true;
    }
    let push = Started::start(world.git_command(&ada.key, &at, &["push", "paas", "main"]));
    eventually("the build runs", || world.fake.state().sent_lines > 0).await;
    world.shutdown.stop(Duration::from_millis(100)).await;
    push.finish().await.fails();
    let path = world.repository(&project);
    eventually("no git child is left", || processes_on(&path).is_empty()).await;
    assert_eq!(world.tip(&project, "refs/heads/main"), "");
}

#[tokio::test]
async fn a_second_signal_leaves_nothing_of_a_pack_that_was_arriving() {
    let mut world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let mut program = Program::start(&mut world).await;
    let client = client::connect(&world, &ada, client::Config::default()).await;
    let channel = client.channel_open_session().await.expect("opened");
    channel.exec(false, "git-receive-pack 'shop'").await.expect("asked");
    let update = format!("{} {} refs/heads/main\0report-status", "0".repeat(40), "1".repeat(40));
    let head = format!("{:04x}{update}0000PACK\0\0\0\x02\0\0\x10\0", update.len() + 4);
    channel.data_bytes(head.into_bytes()).await.expect("sent");
    let path = world.repository(&project);
    eventually("the pack arrives", || !quarantines(&path).is_empty()).await;
    program.signal(Signal::TERM);
    program.logs("a second signal cuts").await;
    program.signal(Signal::TERM);
    program.ends().await;
    eventually("no git child is left", || processes_on(&path).is_empty()).await;
    assert_eq!(quarantines(&path), Vec::<String>::new());
}

fn quarantines(repository: &Path) -> Vec<String> {
    let objects = fs::read_dir(repository.join("objects")).expect("read").filter_map(Result::ok);
    let names = objects.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("tmp_objdir")).collect()
}
