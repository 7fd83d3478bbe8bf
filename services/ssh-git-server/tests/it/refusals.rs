//! What is asked for and not given: each with one clear line and a status.

use std::{collections::BTreeSet, fs, path::Path};

use paastech_git_controller::cage::is_confinable;

use crate::{
    client,
    world::{Started, World, eventually, finish, processes_on, program},
};

#[tokio::test]
async fn somebody_elses_project_looks_like_none() {
    let world = World::start().await;
    let (ada, eve) = (world.person("ada").await, world.person("eve").await);
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    let mut told = BTreeSet::new();
    for name in ["shop", &project.id.to_string(), "absent", "0193e0c4-8f00-7000-8000-0123456789ab", "../x"] {
        let push = world.git(&eve, &at, &["push", &world.url(name), "main"]).await.fails();
        told.insert(push.says("fatal: remote error: PaaSTech: no such project, or it is not yours").err);
        world.git(&eve, &at, &["ls-remote", &world.url(name)]).await.fails();
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(world.fake.state().opened.is_empty());
}

#[tokio::test]
async fn a_viewer_reads_and_does_not_push() {
    let world = World::start().await;
    let (ada, eve) = (world.person("ada").await, world.person("eve").await);
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    world.git(&ada, &at, &["push", "paas", "main"]).await.ok();
    world.fake.state().readers.insert(eve.account);
    world.git(&eve, &at, &["ls-remote", "paas"]).await.ok();
    let push = world.git(&eve, &at, &["push", "paas", "main:topic"]).await.fails();
    push.says("fatal: remote error: PaaSTech: you may not push to this project, only read it");
}

#[tokio::test]
async fn an_exec_string_outside_the_grammar_is_refused() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    world.project(&ada, "shop").await;
    let long = format!("git-receive-pack '{}'", "a".repeat(2048));
    for exec in [
        "ls",
        "sh -c id",
        "$(id)",
        "scp -t .",
        "git --help",
        "git-shell",
        "git-receive-pack",
        "git -c core.sshCommand=id receive-pack 'shop'",
        "git-receive-pack\n'shop'",
        &long,
    ] {
        let ran = world.ssh(&ada.key, &[], &[exec]).await.says("PaaSTech: only git push, fetch and clone");
        assert_eq!((ran.code, ran.out.as_str()), (128, ""), "{exec:?}");
    }
    for exec in [
        "git-receive-pack '--help'",
        "git-receive-pack --help",
        "git-upload-pack --help",
        "git-receive-pack '../../etc'",
        "git-receive-pack '/shop/../shop'",
        "git-receive-pack 'shop' 'shop'",
        "git-receive-pack 'shop';id",
        "git-receive-pack \"shop\"",
        "git-receive-pack 'sh''op'",
    ] {
        let ran = world.ssh(&ada.key, &[], &[exec]).await;
        assert_eq!(ran.code, 128, "{exec}: {}", ran.err);
        assert!(ran.out.contains("ERR PaaSTech: no such project"), "{exec}: {}", ran.out);
    }
    let lfs = world.ssh(&ada.key, &[], &["git-lfs-authenticate shop.git upload"]).await;
    assert_eq!(lfs.code, 128);
    lfs.says("Git LFS is not supported").never_says("not found").never_says("no such");
    let archive = world.ssh(&ada.key, &[], &["git-upload-archive 'shop'"]).await;
    assert_eq!((archive.code, archive.out.contains("git archive is not served")), (128, true));
}

#[tokio::test]
async fn an_exec_string_with_a_nul_is_refused() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    world.project(&ada, "shop").await;
    let client = client::connect(&world, &ada, client::Config::default()).await;
    // No program's argument can hold one.
    for exec in [&b"git-receive-pack 'shop\0'"[..], b"git-receive-pack 'shop'\0", b"\0"] {
        let mut channel = client.channel_open_session().await.expect("opened");
        channel.exec(false, exec).await.expect("asked");
        assert_eq!(client::status(&mut channel).await, Some(128), "{exec:?}");
    }
}

#[tokio::test]
async fn a_shell_is_a_greeting() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    for extra in [&["-T"][..], &["-tt"][..]] {
        let ran = world.ssh(&ada.key, extra, &[]).await;
        assert_eq!(ran.code, 1);
        ran.says("Hello ada: your key works. There is no shell here; use git push.\r\n").never_says("PTY");
    }
}

#[tokio::test]
async fn sftp_and_other_subsystems_are_refused_at_once() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    for name in ["sftp", "netconf"] {
        world.ssh(&ada.key, &["-s"], &[name]).await.fails().says("subsystem request failed");
    }
}

#[tokio::test]
async fn no_port_socket_or_agent_is_forwarded() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let to = format!("127.0.0.1:{}", world.port);
    world.ssh(&ada.key, &["-W", &to], &[]).await.fails().says("forwarding failed");
    let back = format!("0:{to}");
    let remote = ["-N", "-o", "ExitOnForwardFailure=yes", "-R", &back];
    world.ssh(&ada.key, &remote, &[]).await.fails().says("remote port forwarding failed");
    let socket = world.dir.path().join("remote.sock");
    let back = format!("{}:{to}", socket.display());
    let remote = ["-N", "-o", "ExitOnForwardFailure=yes", "-R", &back];
    world.ssh(&ada.key, &remote, &[]).await.fails();
    assert!(!socket.exists());

    let agent = world.dir.path().join("agent.sock");
    let mut command = program("ssh-agent");
    command.arg("-D").arg("-a").arg(&agent).stdout(std::process::Stdio::null());
    let _agent = command.spawn().expect("an agent starts");
    eventually("the agent listens", || agent.exists()).await;
    let has_agent = format!("IdentityAgent={}", agent.display());
    let ran = world.ssh(&ada.key, &["-T", "-v", "-A", "-o", &has_agent], &[]).await;
    // OpenSSH asks without wanting an answer: what counts is that nobody comes to use the agent.
    ran.says("Requesting authentication agent forwarding").says("Hello ada").never_says("ctype auth-agent");
}

#[tokio::test]
async fn nothing_of_a_clients_environment_reaches_git() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    if let Some(build) = &mut world.fake.state().build {
        build.held = true;
    }
    let evil = world.dir.path().join("evil");
    let mut command = world.git_command(&ada.key, &at, &["push", "paas", "main"]);
    let sets = [
        "LD_PRELOAD=/tmp/evil.so",
        "GIT_DIR=/tmp",
        "GIT_CONFIG_COUNT=1",
        "GIT_CONFIG_KEY_0=core.sshCommand",
        "GIT_SSH_COMMAND=id",
        "--split-string=id",
        "PATH=/tmp",
        "PAASTECH_PUSH_TOKEN=0",
        "GIT_PROTOCOL=version=2;id",
    ];
    let options = world.ssh_options(&ada.key).join(" ");
    command.env("GIT_SSH_COMMAND", format!("ssh -o 'SetEnv={}' {options}", sets.join(" ")));
    let push = Started::start(command);
    eventually("the build runs", || world.fake.state().sent_lines > 0).await;
    let path = world.repository(&project);
    let git = git_children(&path);
    assert!(!git.is_empty());
    for child in git {
        let environment = fs::read(child.join("environ")).expect("readable");
        let names: BTreeSet<String> = environment
            .split(|byte| *byte == 0)
            .filter_map(|pair| Some(String::from_utf8_lossy(pair).split_once('=')?.0.to_owned()))
            .filter(|name| !GIT_OWN.contains(&name.as_str()))
            .collect();
        let expected = [
            "GIT_ALLOC_LIMIT",
            "GIT_ALLOW_PROTOCOL",
            "GIT_ATTR_NOSYSTEM",
            "GIT_CONFIG_GLOBAL",
            "GIT_CONFIG_NOSYSTEM",
            "GIT_TERMINAL_PROMPT",
            "HOME",
            "LANG",
            "PAASTECH_HOOK_SOCKET",
            "PAASTECH_PUSH_TOKEN",
            "PATH",
        ];
        assert_eq!(names, expected.iter().map(|&name| name.to_owned()).collect());
        let text = String::from_utf8_lossy(&environment).into_owned();
        assert!(!text.contains("evil") && !text.contains("TOKEN=0\0"), "{text}");
        let status = fs::read_to_string(child.join("status")).expect("readable");
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
        let limits = fs::read_to_string(child.join("limits")).expect("readable");
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
        assert!(core.split_whitespace().filter(|word| *word == "0").count() == 2, "{core}");
        let data = limits.lines().find(|line| line.starts_with("Max data size")).expect("a limit");
        assert_eq!(data.split_whitespace().filter(|word| *word == "1073741824").count(), 2, "{data}");
    }
    world.fake.release();
    push.finish().await.ok();
    assert!(!evil.exists());
}

/// What git itself puts into the environment of its own children.
const GIT_OWN: [&str; 4] = ["GIT_CONFIG_PARAMETERS", "GIT_DIR", "GIT_EXEC_PATH", "GIT_PREFIX"];

fn git_children(repository: &Path) -> Vec<std::path::PathBuf> {
    let is_git =
        |dir: &std::path::PathBuf| fs::read_to_string(dir.join("comm")).is_ok_and(|name| name == "git\n");
    processes_on(repository).into_iter().filter(is_git).collect()
}

#[tokio::test]
async fn a_hook_started_by_hand_does_nothing() {
    let world = World::start().await;
    for name in ["pre-receive", "post-receive"] {
        let mut command = program(world.dir.path().join("state/hooks").join(name).to_str().expect("UTF-8"));
        command.current_dir(world.dir.path()).stdin(std::process::Stdio::null()).env_clear();
        finish(command).await.fails();
    }
}

/// The cage that git children run in, tried with programs that would leave it.
#[tokio::test]
async fn a_git_child_reaches_its_repository_and_no_other() {
    let world = World::start().await;
    let (own, other) = (world.dir.path().join("own"), world.dir.path().join("other"));
    for dir in [&own, &other] {
        fs::create_dir(dir).expect("made");
        fs::write(dir.join("file"), "content").expect("written");
    }
    let cage = serde_json::json!({ "write": [&own], "read": [], "max_file_bytes": 1024 });
    let caged = async |arguments: &[&str]| {
        let mut command = program(env!("CARGO_BIN_EXE_paastech-ssh-git-server"));
        command.arg0("git-child").arg(cage.to_string()).args(arguments);
        command.stdin(std::process::Stdio::null());
        finish(command).await
    };
    let (mine, theirs) = (own.join("file"), other.join("file"));
    let (mine, theirs) = (mine.to_str().expect("UTF-8"), theirs.to_str().expect("UTF-8"));
    assert_eq!(caged(&["/usr/bin/cat", mine]).await.ok().out, "content");
    caged(&["/usr/bin/cp", "/dev/zero", own.join("large").to_str().expect("UTF-8")]).await.fails();
    assert_eq!(fs::metadata(own.join("large")).expect("there").len(), 1024, "a file has a limit");
    if is_confinable() {
        caged(&["/usr/bin/cat", theirs]).await.fails().says("Permission denied");
        caged(&["/usr/bin/cp", mine, &format!("{theirs}-2")]).await.fails();
    }
}
