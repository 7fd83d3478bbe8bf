//! One client's share of the server.

use std::time::Duration;

use paastech_ssh_git_server::config::Limits;
use tokio::{io::AsyncReadExt as _, net::TcpStream};

use crate::{
    client,
    world::{Started, World, eventually},
};

async fn greeting(port: u16) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
    let mut buffer = vec![0; 64];
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer)).await;
    let read = read.expect("answered or closed").unwrap_or(0);
    (stream, String::from_utf8_lossy(&buffer[..read]).into_owned())
}

#[tokio::test]
async fn an_address_has_only_so_many_connections() {
    let world = World::with(Limits { connections_per_ip: 2, ..Limits::default() }).await;
    let (first, heard) = greeting(world.port).await;
    assert!(heard.starts_with("SSH-2.0-"), "{heard:?}");
    let (_second, _) = greeting(world.port).await;
    let (_third, heard) = greeting(world.port).await;
    assert_eq!(heard, "", "closed before a word");
    drop(first);
    let ada = world.person("ada").await;
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    while world.ssh(&ada.key, &["-T"], &[]).await.code != 1 {
        assert!(tokio::time::Instant::now() < until, "the place is free again");
    }
}

#[tokio::test]
async fn log_ins_wait_for_their_turn() {
    let world = World::with(Limits { logins_per_ip: 1, ..Limits::default() }).await;
    let ada = world.person("ada").await;
    let log_in = || world.ssh(&ada.key, &["-T"], &[]);
    let (a, b, c) = tokio::join!(log_in(), log_in(), log_in());
    for ran in [a, b, c] {
        ran.says("Hello ada");
    }
}

#[tokio::test]
async fn too_many_unknown_keys_end_a_connection_and_known_ones_still_work() {
    let world = World::with(Limits { unknown_keys_per_minute: 2, ..Limits::default() }).await;
    let ada = world.person("ada").await;
    let stranger = world.key("stranger", "ed25519").await;
    for _ in 0..2 {
        world.ssh(&stranger, &["-T"], &[]).await.says("Permission denied");
    }
    world.ssh(&stranger, &["-T"], &[]).await.fails().never_says("Permission denied");
    world.ssh(&ada.key, &["-T"], &[]).await.says("Hello ada");
}

#[tokio::test]
async fn an_account_has_only_so_many_git_processes() {
    let world = World::with(Limits { children_per_account: 1, ..Limits::default() }).await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    if let Some(build) = &mut world.fake.state().build {
        build.held = true;
    }
    let push = Started::start(world.git_command(&ada.key, &at, &["push", "paas", "main"]));
    eventually("the build runs", || world.fake.state().sent_lines > 0).await;
    let second = world.git(&ada, &at, &["ls-remote", "paas"]).await.fails();
    second.says("fatal: remote error: PaaSTech: too many pushes and fetches at once");
    world.fake.release();
    push.finish().await.ok();
    world.git(&ada, &at, &["ls-remote", "paas"]).await.ok();
}

#[tokio::test]
async fn hundreds_of_variables_do_not_stall_a_connection() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let sets: Vec<String> = (0..300).map(|n| format!("VARIABLE_{n}=x")).collect();
    let option = format!("SetEnv={}", sets.join(" "));
    world.ssh(&ada.key, &["-T", "-o", &option], &[]).await.says("Hello ada");
}

#[tokio::test]
async fn a_silent_client_does_not_keep_its_git() {
    let world = World::with(Limits { first_byte_seconds: 1, ..Limits::default() }).await;
    let ada = world.person("ada").await;
    world.project(&ada, "shop").await;
    let mut arguments = world.ssh_options(&ada.key);
    arguments.extend(["git@127.0.0.1".to_owned(), "git-receive-pack 'shop'".to_owned()]);
    let mut command = crate::world::program("ssh");
    // Its standard input stays open and empty.
    command.args(arguments).stdin(std::process::Stdio::piped());
    let ran = Started::start(command).finish_unfed().await;
    ran.fails();
}

#[tokio::test]
async fn a_connection_has_only_so_many_channels() {
    let world = World::with(Limits { channels_per_connection: 1, ..Limits::default() }).await;
    let ada = world.person("ada").await;
    world.project(&ada, "shop").await;
    let path = world.dir.path().join("master");
    let master = format!("ControlPath={}", path.display());
    let mut arguments =
        vec!["-o".to_owned(), master.clone(), "-o".to_owned(), "ControlMaster=yes".to_owned()];
    arguments.extend(world.ssh_options(&ada.key));
    arguments.extend(["git@127.0.0.1".to_owned(), "git-receive-pack 'shop'".to_owned()]);
    let mut command = crate::world::program("ssh");
    command.args(arguments).stdin(std::process::Stdio::piped());
    let held = Started::start(command);
    eventually("the master listens", || path.exists()).await;
    let second = world.ssh(&ada.key, &["-T", "-o", &master], &[]).await.fails();
    second.says("Session open refused by peer");
    held.interrupt().await;
}

#[tokio::test]
async fn a_full_disk_takes_no_push_and_still_serves_fetches() {
    let world = World::with(Limits { min_free_bytes: u64::MAX, ..Limits::default() }).await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    let push = world.git(&ada, &at, &["push", "paas", "main"]).await.fails();
    push.says("fatal: remote error: PaaSTech: the platform's disk is full");
    world.git(&ada, &at, &["ls-remote", "paas"]).await.ok();
}

#[tokio::test]
async fn a_repository_takes_no_more_than_its_quota_and_is_still_read() {
    let world = World::with(Limits { max_repository_bytes: 1 << 20, ..Limits::default() }).await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    world.git(&ada, &at, &["push", "paas", "main"]).await.ok();
    let mut noise = vec![0; 2 << 20];
    rand::fill(&mut noise[..]);
    std::fs::write(at.join("noise"), &noise).expect("written");
    world.commit(&ada, &at, "large").await;
    let push = world.git(&ada, &at, &["push", "paas", "main"]).await.fails();
    push.says("exceeds maximum allowed size");
    // As what earlier pushes, within their limit, come to.
    std::fs::write(world.repository(&project).join("objects/pack/filler"), &noise).expect("written");
    let push = world.git(&ada, &at, &["push", "paas", "main:topic"]).await.fails();
    push.says("fatal: remote error: PaaSTech: the repository is full: it may take 1 MiB");
    world.git(&ada, &at, &["ls-remote", "paas"]).await.ok();
}

#[tokio::test]
async fn keys_are_exchanged_again_in_the_middle_of_a_push() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    let noise: Vec<u8> = (0..16 << 20).map(|_| rand::random()).collect();
    std::fs::write(at.join("noise"), &noise).expect("written");
    world.commit(&ada, &at, "large").await;
    let options = world.ssh_options(&ada.key).join(" ");
    let mut push = world.git_command(&ada.key, &at, &["push", "paas", "main"]);
    push.env("GIT_SSH_COMMAND", format!("ssh -o RekeyLimit=1M {options}"));
    crate::world::finish(push).await.ok();
    let to = world.dir.path().join("back");
    let url = world.url("shop");
    let mut clone = world.git_command(&ada.key, &at, &["clone", "-q", &url, to.to_str().expect("UTF-8")]);
    clone.env("GIT_SSH_COMMAND", format!("ssh -o RekeyLimit=1M {options}"));
    crate::world::finish(clone).await.ok();
    assert!(std::fs::read(to.join("noise")).expect("cloned") == noise);
}

#[tokio::test]
async fn a_client_whose_window_never_opens_keeps_its_git_only_to_the_deadline() {
    let world =
        World::with(Limits { receive_seconds: 1, children_per_account: 1, ..Limits::default() }).await;
    let ada = world.person("ada").await;
    world.project(&ada, "shop").await;
    let shut = client::Config { window_size: 0, ..client::Config::default() };
    let client = client::connect(&world, &ada, shut).await;
    let mut channel = client.channel_open_session().await.expect("opened");
    channel.exec(false, "git-upload-pack 'shop'").await.expect("asked");
    channel.data_bytes(&b"0"[..]).await.expect("sent");
    client::status(&mut channel).await;
    world.git(&ada, world.dir.path(), &["ls-remote", &world.url("shop")]).await.ok();
}

#[tokio::test]
async fn a_refused_command_with_much_behind_it_does_not_stall_its_connection() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let tip = {
        let repository = git2::Repository::open_bare(world.repository(&project)).expect("a repository");
        let mut noise = vec![0; 24 << 20];
        rand::fill(&mut noise[..]);
        let mut tree = repository.treebuilder(None).expect("a tree");
        tree.insert("noise", repository.blob(&noise).expect("a blob"), 0o100_644).expect("an entry");
        let tree = tree.write().and_then(|oid| repository.find_tree(oid)).expect("a tree");
        let who = git2::Signature::now("Ada", "ada@example.org").expect("a signature");
        repository.commit(Some("refs/heads/main"), &who, &who, "noise", &tree, &[]).expect("a commit")
    };
    // Small packets keep the queue of what is to be sent full.
    let small = client::Config { maximum_packet_size: 1024, ..client::Config::default() };
    let client = client::connect(&world, &ada, small).await;
    let mut clone = client.channel_open_session().await.expect("opened");
    clone.exec(false, "git-upload-pack 'shop'").await.expect("asked");
    let want = format!("0032want {tip}\n00000009done\n");
    clone.data_bytes(want.into_bytes()).await.expect("sent");
    let cloned = tokio::spawn(async move { client::status(&mut clone).await });
    for _ in 0..40 {
        let mut refused = client.channel_open_session().await.expect("opened");
        refused.exec(false, "ls").await.expect("asked");
        for _ in 0..32 {
            refused.data_bytes(&b"more"[..]).await.expect("sent");
        }
        assert_eq!(client::status(&mut refused).await, Some(128));
    }
    assert_eq!(cloned.await.expect("read"), Some(0));
}
