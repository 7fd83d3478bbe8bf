//! What the operator of an installation meets.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::Duration,
};

use reqwest::{StatusCode, header::RETRY_AFTER};
use serde_json::json;

use crate::{Dockerfile, Platform, Project, Shape, Source, app::noise, binaries, push::capture};

pub(super) async fn root_needs_no_log_in_on_the_host(platform: &Platform) {
    let developer = platform.developer().await;
    let socket = platform.place.admin_socket.to_str().expect("a path of ours is text");
    let who = developer.paastech(None, &["whoami", "--socket", socket, "--json"], "").await.succeeded();
    assert!(who.contains("administrator"), "{who}");
    let mode =
        fs::metadata(socket).map(|found| std::os::unix::fs::PermissionsExt::mode(&found.permissions()));
    assert_eq!(mode.expect("the socket is there") & 0o077, 0, "nobody else may even connect");
}

pub(super) async fn a_second_daemon_on_the_same_data_is_refused(platform: &Platform) {
    let mut second = platform.command(binaries::find("paastechd").expect("the daemon is built"));
    second.arg("--config").arg(platform.directory().join("paastechd.toml"));
    let text = capture(second).await.failed();
    assert!(text.contains("another paastechd already uses the data directory"), "{text}");
    platform.ready().await.expect("the first one goes on");
}

pub(super) async fn a_destroyed_installation_is_restored_and_pushed_to_again(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    hide(&project, "hunter2").await;
    let backup = back_up(platform).await;
    platform.halt().await;
    platform.destroy().await;
    restore(platform, &backup).await;
    // The proxy was stopped too; the app went on all the time.
    project.comes_to_serve("one", 10).await;
    assert_eq!(hidden(&project).await, "hunter2");
    well(platform).await;
    let project = Project { api: platform.api.log_in(&developer.email).await, ..project };
    repository.commit(&Source::greeting("two")).await;
    repository.push(&project).await.succeeded();
    project.serves("two").await;
    assert_eq!(hidden(&project).await, "hunter2", "the secret was opened again");
    well(platform).await;
}

pub(super) async fn an_installation_moves_to_an_engine_without_its_images(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, _repository) = developer.live(platform, "one").await;
    hide(&project, "hunter2").await;
    let backup = back_up(platform).await;
    platform.halt().await;
    platform.destroy().await;
    platform.engine.clean().await.expect("everything of ours is removed");
    restore(platform, &backup).await;
    let doctor = platform.admin(&["doctor"]).await.failed();
    let deploy = format!("paastech deploy --project {}", project.id);
    assert!(doctor.contains(&deploy), "{doctor}");
    let project = Project { api: platform.api.log_in(&developer.email).await, ..project };
    let accepted = project.api.post(&project.path("/deployments"), json!({})).await.ok();
    project.done(&accepted).await;
    project.serves("one").await;
    assert_eq!(hidden(&project).await, "hunter2");
    well(platform).await;
}

pub(super) async fn hide(project: &Project, secret: &str) {
    let set = json!({ "set": { "TOKEN": { "value": secret, "kind": "secret" } }, "unset": [] });
    let accepted = project.api.patch(&project.path("/variables"), set).await.ok();
    project.done(&accepted).await;
}

pub(super) async fn hidden(project: &Project) -> String {
    project.site.get("/env/TOKEN").await.expect("the app answers").body
}

async fn well(platform: &Platform) {
    platform.admin(&["doctor"]).await.succeeded();
}

/// Made while the installation runs.
async fn back_up(platform: &Platform) -> String {
    let file = platform.directory().join("backup.tar").to_string_lossy().into_owned();
    platform.admin(&["backup", "--to", &file, "--include-secrets", "--include-logs"]).await.succeeded();
    file
}

/// With nothing running but what the restore itself needs; then everything starts.
async fn restore(platform: &Platform, backup: &str) {
    if platform.shape == Shape::Services {
        platform.start_again("paastech-git-controller").await;
    }
    let text = platform.admin(&["restore", "--from", backup]).await.succeeded();
    assert!(text.contains("Restored 1 projects and 1 repositories"), "{text}");
    platform.resume().await;
}

pub(super) async fn without_an_engine_everything_else_works_and_says_so(platform: &Platform) {
    let ready = platform.api.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE, "{}", ready.body);
    assert!(ready.headers.contains_key(RETRY_AFTER));
    let developer = platform.developer().await;
    let project = developer.project(platform).await;
    let repository = developer.repository(&Source::greeting("never")).await;
    let text = repository.push(&project).await.failed();
    assert!(text.contains("the container engine does not answer"), "{text}");
    assert_eq!(repository.remote_ref(&project, "refs/heads/main").await, None);
    let status = project.api.get(&project.path("/status")).await;
    assert_eq!(status.status, StatusCode::SERVICE_UNAVAILABLE, "{}", status.body);
    assert!(!status.detail().is_empty() && status.headers.contains_key(RETRY_AFTER));
}

pub(super) async fn a_full_disk_refuses_pushes_and_loses_nothing(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    let filler = Filler::start(&platform.place.data);
    repository.commit(&Source::greeting("two")).await;
    let text = repository.push(&project).await.failed();
    assert!(text.contains("disk is full"), "{text}");
    refuses_changes(platform, &project).await;
    project.serves("one").await;
    filler.remove();
    project.settled(60).await;
    repository.push(&project).await.succeeded();
    project.serves("two").await;
}

pub(super) async fn a_disk_that_fills_while_a_pack_comes_refuses_the_push(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    let before = repository.remote_ref(&project, "refs/heads/main").await;
    repository.commit(&Source::greeting("two").with("noise", noise(1 << 20))).await;
    let push = repository.start_held_push(&project).await;
    let filler = Filler::start(&platform.place.data);
    repository.let_go();
    let text = push.end().await.failed();
    assert!(text.contains("No space left on device") && text.contains("[remote rejected]"), "{text}");
    project.serves("one").await;
    filler.remove();
    assert_eq!(repository.remote_ref(&project, "refs/heads/main").await, before, "the ref stayed");
    repository.push(&project).await.succeeded();
    project.serves("two").await;
}

pub(super) async fn a_disk_that_fills_during_a_build_loses_nothing(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    let before = repository.remote_ref(&project, "refs/heads/main").await;
    let slow = Dockerfile::building("pause 4000").line("ENV GREETING=two");
    let head = repository.commit(&Source::of(&slow)).await;
    let push = repository.start_push(&project, &["main"]);
    push.says("building slowly").await;
    let filler = Filler::start(&platform.place.data);
    refuses_changes(platform, &project).await;
    push.says("built slowly").await;
    assert_eq!(project.visit().await.status, StatusCode::OK);
    filler.remove();
    let ended = push.end().await;
    project.settled(60).await;
    let now = repository.remote_ref(&project, "refs/heads/main").await;
    if ended.code == Some(0) {
        assert_eq!(now, Some(head), "what was accepted is there: {}", ended.text);
    } else {
        assert_eq!(now, before, "what was refused changed nothing: {}", ended.text);
        project.serves("one").await;
        repository.push(&project).await.succeeded();
    }
    project.serves("two").await;
}

/// Where the database is on the full disk, nothing is changed, and a program knows to try again.
async fn refuses_changes(platform: &Platform, project: &Project) {
    if platform.shape != Shape::Embedded {
        return;
    }
    let set = json!({ "set": { "A": { "value": "x".repeat(10_000), "kind": "plain" } }, "unset": [] });
    let change = project.api.patch(&project.path("/variables"), set).await;
    assert_eq!(change.status, StatusCode::SERVICE_UNAVAILABLE, "{}", change.body);
    assert!(change.headers.contains_key(RETRY_AFTER));
    let variables = project.api.get(&project.path("/variables")).await.ok();
    assert_eq!(variables["items"], json!([]), "{variables}");
}

/// A file that takes all the room there is, and what is freed beside it, until it is removed.
pub(super) struct Filler {
    path: PathBuf,
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Filler {
    /// Full when it is back.
    pub(super) fn start(folder: &Path) -> Self {
        let path = folder.join("filler");
        let mut file = fs::File::create(&path).expect("there is room for a name");
        fill(&mut file);
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(Duration::from_millis(5)) == Err(RecvTimeoutError::Timeout) {
                fill(&mut file);
            }
        });
        Self { path, stop, thread }
    }

    pub(super) fn remove(self) {
        drop(self.stop);
        self.thread.join().expect("filling does not fail");
        fs::remove_file(&self.path).expect("the filler is ours");
    }
}

/// Writes until there is no room for a byte more.
fn fill(file: &mut fs::File) {
    for size in [1 << 20, 4096, 1] {
        let block = vec![0; size];
        while file.write_all(&block).is_ok() {}
    }
}
