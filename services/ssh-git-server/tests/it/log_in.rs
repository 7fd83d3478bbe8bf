//! Who gets in, as whom, and who the server itself is.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use paastech_proto::control::control_client::ControlClient;
use paastech_ssh_git_server::{build, config::Limits};
use russh::keys::load_public_key;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    client,
    world::{World, config},
};

#[tokio::test]
async fn an_unknown_key_is_denied() {
    let world = World::start().await;
    let stranger = world.key("stranger", "ed25519").await;
    let ran = world.ssh(&stranger, &["-T"], &[]).await;
    assert_eq!(ran.code, 255);
    ran.says("Permission denied (publickey)");
}

#[tokio::test]
async fn only_the_user_git_can_log_in() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    world.ssh(&ada.key, &["-l", "root", "-T"], &[]).await.says("Permission denied (publickey)");
    world.ssh(&ada.key, &["-T"], &[]).await.says("Hello ada");
}

#[tokio::test]
async fn keys_of_every_kind_work_and_sha1_signatures_do_not() {
    let world = World::start().await;
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let person = world.person_with(kind, kind).await;
        world.ssh(&person.key, &["-T"], &[]).await.says(&format!("Hello {kind}"));
        if kind == "rsa" {
            let old = ["-T", "-o", "PubkeyAcceptedAlgorithms=ssh-rsa"];
            world.ssh(&person.key, &old, &[]).await.fails().never_says("Hello");
        }
    }
}

#[tokio::test]
async fn a_key_that_was_only_offered_gives_nothing() {
    let world = World::start().await;
    let (victim, mallory) = (world.person("victim").await, world.person("mallory").await);
    let project = world.project(&victim, "shop").await;
    let at = world.working_copy(&victim, &project).await;
    world.git(&victim, &at, &["push", "paas", "main"]).await.ok();
    // With the public half alone ssh offers the victim's key, cannot sign for it, and goes on to the next.
    let stolen = world.dir.path().join("stolen");
    fs::copy(victim.key.with_extension("pub"), stolen.with_extension("pub")).expect("copied");
    let offered = ["-i", stolen.to_str().expect("UTF-8"), "-v", "-T"];
    let ran = world.ssh(&mallory.key, &offered, &[]).await;
    ran.says("Server accepts key").says("Hello mallory").never_says("Hello victim");
    let exec = format!("git-upload-pack '{}'", project.id);
    let ran = world.ssh(&mallory.key, &offered, &[&exec]).await.fails();
    assert!(ran.out.contains("no such project"), "{}", ran.out);
    let alone = ["-v", "-T"];
    world.ssh(&stolen, &alone, &[]).await.fails().says("Permission denied").never_says("Hello");
}

#[tokio::test]
async fn several_unknown_keys_before_the_right_one_cost_no_second() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let mut offered = vec!["-T".to_owned()];
    for n in 0..5 {
        let key = world.key(&format!("other-{n}"), "ed25519").await;
        offered.extend(["-i".to_owned(), key.display().to_string()]);
    }
    let offered: Vec<&str> = offered.iter().map(String::as_str).collect();
    let begun = Instant::now();
    world.ssh(&ada.key, &["-T"], &[]).await.says("Hello ada");
    let alone = begun.elapsed();
    let begun = Instant::now();
    world.ssh(&ada.key, &offered, &[]).await.says("Hello ada");
    let extra = begun.elapsed().saturating_sub(alone);
    assert!(extra < Duration::from_secs(2), "{extra:?}");
    assert!(alone < Duration::from_secs(2), "{alone:?}");
}

#[tokio::test]
async fn the_host_key_is_private_and_survives_a_restart() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    world.ssh(&ada.key, &["-T"], &[]).await.says("Hello ada");
    let path = world.dir.path().join("state/host_key_ed25519");
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    world.shutdown.stop(Duration::from_secs(5)).await;
    let control = ControlClient::new(world.fake.transport());
    let again = build(config(world.dir.path(), Limits::default()), control).await.expect("starts");
    assert_eq!(again.host_key_fingerprint(), world.fingerprint);
    let known = fs::read_to_string(world.dir.path().join("known_hosts")).expect("known");
    assert!(known.contains(&again.host_public_key()), "{known}");
}

#[tokio::test]
async fn a_client_that_does_not_log_in_is_cut_off() {
    let world = World::with(Limits { login_seconds: 1, ..Limits::default() }).await;
    for greeting in [&b""[..], b"SSH-2.0-slow\r\n"] {
        let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.expect("connected");
        stream.write_all(greeting).await.expect("sent");
        let mut heard = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut heard)).await;
        drop(closed.expect("closed by the server"));
        assert!(heard.starts_with(b"SSH-2.0-PaaSTech\r\n"), "{heard:?}");
    }
    let ada = world.person("ada").await;
    world.ssh(&ada.key, &["-T"], &[]).await.says("Hello ada");
}

#[tokio::test]
async fn an_api_that_does_not_answer_is_no_denial() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    world.fake.go_away();
    let ran = world.ssh(&ada.key, &["-T"], &[]).await.fails();
    ran.never_says("Permission denied");
    world.fake.come_back();
    world.ssh(&ada.key, &["-T"], &[]).await.says("Hello ada");
}

#[tokio::test]
async fn an_offered_key_is_no_use_of_it_and_offers_run_out() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    world.ssh(&ada.key, &["-T"], &[]).await.says("Hello ada");
    assert_eq!(world.fake.state().lookups.iter().filter(|proven| **proven).count(), 1);
    world.fake.state().lookups.clear();
    let key = load_public_key(ada.key.with_extension("pub")).expect("a public key");
    let mut client = client::greet(&world, client::Config::default()).await;
    for _ in 0..100 {
        let offered = client.authenticate_publickey_with("git", key.clone(), None, &mut client::NoKey).await;
        assert!(!offered.is_ok_and(|outcome| outcome.success()), "nobody signs");
    }
    assert_eq!(world.fake.state().lookups, [false; 20]);
}

#[tokio::test]
async fn a_key_that_was_removed_ends_what_its_connection_may_do() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    world.project(&ada, "shop").await;
    let client = client::connect(&world, &ada, client::Config::default()).await;
    for expected in [Some(0), Some(1)] {
        let mut channel = client.channel_open_session().await.expect("opened");
        channel.exec(false, "git-upload-pack 'shop'").await.expect("asked");
        channel.data_bytes(&b"0000"[..]).await.expect("sent");
        assert_eq!(client::status(&mut channel).await, expected);
        world.fake.state().key_ids.clear();
    }
}
