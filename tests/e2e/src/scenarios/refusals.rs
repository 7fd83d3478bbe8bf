//! What is refused at the SSH door and by the repository: with a clear line, and nothing changed.

use std::{fmt::Write as _, process::Stdio};

use tokio::io::AsyncWriteExt as _;

use crate::{
    Developer, Platform, Repository, Source, app::noise, config::MAX_PUSH_BYTES, eventually, push::capture,
};

pub(super) async fn an_unknown_key_is_refused(platform: &Platform) {
    let developer = platform.developer().await;
    let project = developer.project(platform).await;
    developer.make_key("unknown").await;
    let exec = format!("git-receive-pack '{}'", project.slug);
    let ended = capture(developer.ssh(platform, "unknown", &[], &[&exec])).await;
    assert_eq!(ended.code, Some(255), "{}", ended.text);
    assert!(ended.text.contains("Permission denied (publickey)"), "{}", ended.text);
}

pub(super) async fn anothers_project_is_as_if_it_were_not_there(platform: &Platform) {
    let owner = platform.developer().await;
    let (project, _repository) = owner.live(platform, "mine").await;
    let stranger = platform.developer().await;
    let repository = stranger.repository(&Source::greeting("yours")).await;
    let pushed = repository.push(&project).await.failed();
    let nowhere = project.git_url.replace(&project.id, &uuid::Uuid::now_v7().to_string());
    let absent = repository.git(&["push", &nowhere, "main"]).await.failed();
    let told = |text: &str| {
        let line = text
            .lines()
            .find(|line| line.contains("ERR") || line.contains("fatal") || line.contains("not found"));
        line.unwrap_or_default().replace(&project.id, "ID")
    };
    assert!(!told(&pushed).is_empty(), "{pushed}");
    assert_eq!(told(&pushed), told(&absent).replace(&nowhere, "ID"), "both look the same");
    repository.git(&["clone", &project.git_url, "stolen"]).await.failed();
    assert_eq!(stranger.api.get(&project.path("")).await.status, 404);
    assert_eq!(stranger.api.get(&project.path("/logs?follow=false")).await.status, 404);
    project.serves("mine").await;
}

pub(super) async fn commands_outside_the_grammar_are_refused(platform: &Platform) {
    let developer = platform.developer().await;
    let long = format!("git-receive-pack '{}'", "a".repeat(2048));
    for exec in [
        "ls -la",
        "git-receive-pack",
        "git-receive-pack '--help'",
        "git-receive-pack '../../etc'",
        "git-receive-pack \"shop\"",
        "git-receive-pack 'a'; id",
        "git-upload-archive 'shop'",
        "scp -t .",
        &long,
    ] {
        let ended = capture(developer.ssh(platform, "id_ed25519", &[], &[exec])).await;
        assert!(matches!(ended.code, Some(1 | 128)), "{exec}: {:?} {}", ended.code, ended.text);
        assert!(ended.text.contains("PaaSTech: "), "{exec}: {}", ended.text);
    }
}

pub(super) async fn there_is_no_shell_no_sftp_and_no_forwarding(platform: &Platform) {
    let developer = platform.developer().await;
    let shell = capture(developer.ssh(platform, "id_ed25519", &["-T"], &[])).await.failed();
    assert!(shell.contains("There is no shell here"), "{shell}");
    let terminal = capture(developer.ssh(platform, "id_ed25519", &["-tt"], &[])).await.failed();
    assert!(terminal.contains("There is no shell here"), "{terminal}");
    let sftp = capture(developer.ssh(platform, "id_ed25519", &["-s"], &["sftp"])).await.failed();
    assert!(sftp.contains("subsystem request failed"), "{sftp}");
    let inside = platform.place.ports.api.to_string();
    let forwarded = capture(developer.ssh(platform, "id_ed25519", &["-W", &inside], &[])).await.failed();
    assert!(forwarded.contains("open failed: administratively prohibited"), "{forwarded}");
    let options = ["-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1"];
    let listening = capture(developer.ssh(platform, "id_ed25519", &options, &[])).await.failed();
    assert!(listening.contains("remote port forwarding failed"), "{listening}");
}

pub(super) async fn a_push_over_the_size_limit_is_refused(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    let before = repository.remote_ref(&project, "refs/heads/main").await;
    let noise = noise(usize::try_from(MAX_PUSH_BYTES).expect("small") + (1 << 20));
    repository.commit(&Source::greeting("two").with("noise", noise)).await;
    let text = repository.push(&project).await.failed();
    assert!(text.contains("pack exceeds maximum allowed size"), "{text}");
    assert_eq!(repository.remote_ref(&project, "refs/heads/main").await, before);
    project.serves("one").await;
}

pub(super) async fn evil_trees_are_refused(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    let before = repository.remote_ref(&project, "refs/heads/main").await;
    let evil = Evil { developer: &developer, repository: &repository };
    let file = evil.blob("content").await;
    let link = evil.blob("/etc").await;
    let folder = evil.tree(&[("100644", "x", &file)]).await;
    let mut deep = folder.clone();
    for _ in 0..200 {
        deep = evil.tree(&[("40000", "d", &deep)]).await;
    }
    let mut bomb = folder.clone();
    for _ in 0..10 {
        let names: Vec<String> = (0..10).map(|at| format!("b{at}")).collect();
        let entries: Vec<_> = names.iter().map(|name| ("40000", name.as_str(), bomb.as_str())).collect();
        bomb = evil.tree(&entries).await;
    }
    for (why, tree) in [
        ("hasDotgit: contains '.git'", evil.tree(&[("40000", ".git", &folder)]).await),
        (
            "duplicateEntries: contains duplicate file entries",
            evil.tree(&[("120000", "a", &link), ("40000", "a", &folder)]).await,
        ),
        ("hasDotdot: contains '..'", evil.tree(&[("40000", "..", &folder)]).await),
        ("the tree is refused: more than 64 directories deep", deep),
        ("the tree is refused: more than 200000 entries", bomb),
    ] {
        let commit = evil.commit(&tree).await;
        let ended = repository.push_ref(&project, &["--force", &format!("{commit}:refs/heads/main")]).await;
        let text = ended.failed();
        assert!(text.contains(why), "{why}: {text}");
        assert_eq!(repository.remote_ref(&project, "refs/heads/main").await, before, "{why}");
    }
    project.serves("one").await;
    eventually("no build is left", 20, || async {
        let open = project.operations().await;
        open.iter().all(|found| found["ended_at"].is_number() || found["state"] == "done").then_some(())
    })
    .await;
}

/// Objects that no honest git writes.
struct Evil<'a> {
    developer: &'a Developer,
    repository: &'a Repository<'a>,
}

impl Evil<'_> {
    async fn blob(&self, content: &str) -> String {
        self.object("blob", content.as_bytes()).await
    }

    async fn tree(&self, entries: &[(&str, &str, &str)]) -> String {
        let mut content = Vec::new();
        for (mode, name, id) in entries {
            let mut head = String::new();
            write!(head, "{mode} {name}\0").expect("a string takes all");
            content.extend_from_slice(head.as_bytes());
            content.extend(hex::decode(id).expect("an id is hex digits"));
        }
        self.object("tree", &content).await
    }

    async fn commit(&self, tree: &str) -> String {
        let made = self.repository.git(&["commit-tree", "-m", "Evil", tree]).await;
        made.succeeded().trim().to_owned()
    }

    async fn object(&self, kind: &str, content: &[u8]) -> String {
        let mut git = self.developer.command("git");
        git.args(["hash-object", "-t", kind, "-w", "--literally", "--stdin"]);
        git.current_dir(self.repository.folder()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = git.spawn().expect("git runs");
        let mut pipe = child.stdin.take().expect("stdin is piped");
        pipe.write_all(content).await.expect("git reads");
        drop(pipe);
        let output = child.wait_with_output().await.expect("git ends");
        assert!(output.status.success(), "hash-object of a {kind}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}
