//! Programs killed in the middle: what was accepted ends, and what served goes on serving.

use std::time::Duration;

use reqwest::StatusCode;
use time::OffsetDateTime;

use crate::{Developer, Dockerfile, Platform, Project, Repository, Shape, Source, eventually, push::Push};

const DAEMON: &str = "paastechd";
const API: &str = "paastech-api";
const POMEGRANATE: &str = "pomegranate";
const SSH: &str = "paastech-ssh-git-server";

/// Whether the pusher's connection lives in the program that is killed.
#[derive(PartialEq, Eq)]
enum Pusher {
    Lost,
    Kept,
}

/// Kills a program while a push builds a Dockerfile.
async fn killed_in_a_build(platform: &Platform, program: &str, pusher: Pusher) {
    let slow = Dockerfile::building("pause 4000").line("ENV GREETING=new");
    killed_while_building(platform, program, pusher, (&Source::of(&slow), "building slowly")).await;
}

/// Kills a program while a push builds without one.
async fn killed_in_a_build_by_buildpacks(platform: &Platform, program: &str, pusher: Pusher) {
    let slow = Source::built_slowly(6, "new");
    killed_while_building(platform, program, pusher, (&slow, "Compiling slow")).await;
}

/// Kills a program when the build of a source has said so much.
async fn killed_while_building(
    platform: &Platform,
    program: &str,
    pusher: Pusher,
    (source, said): (&Source, &str),
) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "old").await;
    let before = repository.remote_ref(&project, "refs/heads/main").await;
    repository.commit(source).await;
    let push = repository.start_push(&project, &["main"]);
    push.says(said).await;
    platform.kill(program).await;
    restarted(platform, program, &project).await;
    let ended = push.end().await;
    project.settled(60).await;
    eventually("nothing of the build is left", 20, || async {
        platform.engine.builds_of(&project.id).await.ok()?.is_empty().then_some(())
    })
    .await;
    if pusher == Pusher::Kept {
        ended.succeeded();
        project.serves("new").await;
        return;
    }
    ended.failed();
    assert_eq!(repository.remote_ref(&project, "refs/heads/main").await, before, "the ref stayed");
    project.serves("old").await;
    pushes_again(&repository, &project).await;
}

/// Kills a program while what was pushed is deployed.
async fn killed_in_a_deployment(platform: &Platform, program: &str) {
    let developer: Developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "old").await;
    let late = Dockerfile::running("late 3000").line("ENV GREETING=new");
    let head = repository.commit(&Source::of(&late)).await;
    let load = project.site.load(2);
    let push: Push = repository.start_push(&project, &["main"]);
    push.says("Deploying as operation").await;
    platform.kill(program).await;
    restarted(platform, program, &project).await;
    drop(push.end().await);
    project.comes_to_serve("new", 60).await;
    assert_eq!(repository.remote_ref(&project, "refs/heads/main").await, Some(head));
    let operations = project.settled(60).await;
    let done =
        operations.iter().filter(|found| found["kind"] == "deploy" && found["state"] == "done").count();
    assert_eq!(done, 2, "each push was deployed once: {operations:?}");
    eventually("only the new release is left", 20, || async {
        (platform.engine.containers_of(&project.id).await.ok()?.len() == 1).then_some(())
    })
    .await;
    let failures = load.stop().await;
    if platform.shape != Shape::Embedded {
        assert!(failures.is_empty(), "requests failed, and the proxy never did: {failures:?}");
    }
    pushes_again(&repository, &project).await;
}

/// While the program is away, and after it came back, the old release answers: without a pause where the proxy is
/// another process, within the promised three seconds where it is the one that died.
async fn restarted(platform: &Platform, program: &str, project: &Project) {
    if platform.shape == Shape::Embedded {
        platform.start_again(program).await;
        eventually("routes are back", 3, || async {
            let page = project.site.get("/").await.ok()?;
            (page.status == StatusCode::OK).then_some(())
        })
        .await;
    } else {
        project.serves("old").await;
        platform.start_again(program).await;
        assert_eq!(project.visit().await.status, StatusCode::OK);
    }
    platform.ready().await.expect("ready again");
}

async fn pushes_again(repository: &Repository<'_>, project: &Project) {
    // Whatever built it before.
    repository.git(&["rm", "-q", "--ignore-unmatch", "paastech.yaml"]).await.succeeded();
    repository.commit(&Source::greeting("again")).await;
    repository.push(project).await.succeeded();
    project.serves("again").await;
}

pub(super) async fn the_daemon_is_killed_in_a_build(platform: &Platform) {
    killed_in_a_build(platform, DAEMON, Pusher::Lost).await;
}

pub(super) async fn the_daemon_is_killed_in_a_build_by_buildpacks(platform: &Platform) {
    killed_in_a_build_by_buildpacks(platform, DAEMON, Pusher::Lost).await;
}

pub(super) async fn pomegranate_is_killed_in_a_build_by_buildpacks(platform: &Platform) {
    killed_in_a_build_by_buildpacks(platform, POMEGRANATE, Pusher::Kept).await;
}

pub(super) async fn the_daemon_is_killed_in_a_deployment(platform: &Platform) {
    killed_in_a_deployment(platform, DAEMON).await;
}

pub(super) async fn the_api_is_killed_in_a_build(platform: &Platform) {
    killed_in_a_build(platform, API, Pusher::Kept).await;
}

pub(super) async fn the_api_is_killed_in_a_deployment(platform: &Platform) {
    killed_in_a_deployment(platform, API).await;
}

pub(super) async fn pomegranate_is_killed_in_a_build(platform: &Platform) {
    killed_in_a_build(platform, POMEGRANATE, Pusher::Kept).await;
}

pub(super) async fn pomegranate_is_killed_in_a_deployment(platform: &Platform) {
    killed_in_a_deployment(platform, POMEGRANATE).await;
}

pub(super) async fn the_ssh_server_is_killed_in_a_build(platform: &Platform) {
    killed_in_a_build(platform, SSH, Pusher::Lost).await;
}

pub(super) async fn the_ssh_server_is_killed_in_a_deployment(platform: &Platform) {
    killed_in_a_deployment(platform, SSH).await;
}

pub(super) async fn a_restart_keeps_what_there_was(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "old").await;
    let before = platform.engine.containers_of(&project.id).await.expect("the engine answers");
    platform.cycle().await;
    project.comes_to_serve("old", 3).await;
    let after = platform.engine.containers_of(&project.id).await.expect("the engine answers");
    assert_eq!(before, after, "the app itself was left alone");
    assert_eq!(project.operations().await.len(), 2, "nothing was done again, and who was logged in still is");
    pushes_again(&repository, &project).await;
}

pub(super) async fn certificates_expire_and_are_replaced(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    let now = OffsetDateTime::now_utc();
    platform.certificates_as_of(now - paastech_certs::LIFE - Duration::from_secs(3600));
    // What is connected stays so; whoever starts anew is not believed.
    platform.kill(POMEGRANATE).await;
    platform.start_again(POMEGRANATE).await;
    eventually("an expired certificate is refused", 30, || async {
        let status = project.api.get(&project.path("/status")).await;
        (status.status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    project.serves("one").await;
    platform.certificates_as_of(now);
    eventually("new ones are taken up", 60, || async {
        project.api.get(&project.path("/status")).await.status.is_success().then_some(())
    })
    .await;
    platform.ready().await.expect("ready again");
    pushes_again(&repository, &project).await;
}

pub(super) async fn an_api_an_hour_ahead_hinders_nobody(platform: &Platform) {
    with_a_clock_an_hour_off(platform).await;
}

pub(super) async fn an_api_an_hour_behind_hinders_nobody(platform: &Platform) {
    with_a_clock_an_hour_off(platform).await;
}

async fn with_a_clock_an_hour_off(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    let releases = project.api.get(&project.path("/releases")).await.ok();
    let said = releases["items"][0]["created_at"].as_i64().expect("a time") / 1000;
    let off = (said - OffsetDateTime::now_utc().unix_timestamp()).abs();
    assert!((3000..4200).contains(&off), "the api's clock is {off} s off");
    platform.kill(API).await;
    platform.start_again(API).await;
    platform.ready().await.expect("ready again");
    pushes_again(&repository, &project).await;
}

pub(super) async fn the_proxy_needs_nobody(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, _repository) = developer.live(platform, "one").await;
    let load = project.site.load(2);
    for program in [API, POMEGRANATE, SSH, "paastech-git-controller"] {
        platform.kill(program).await;
    }
    let before = load.ended();
    eventually("visitors come", 10, || async { (load.ended() > before + 20).then_some(()) }).await;
    let failures = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
    platform.kill("paastech-edge").await;
    platform.start_again("paastech-edge").await;
    project.comes_to_serve("one", 5).await;
}
