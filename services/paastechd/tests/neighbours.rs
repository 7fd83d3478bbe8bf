//! Which neighbour is in the process, and which is an address.

use std::time::Duration;

use paastech_runtime::Shutdown;
use paastechd::{config::Config, wire};
use tokio::{net::TcpListener, process::Command, time::timeout};

#[tokio::test]
async fn the_ssh_server_asks_the_api_that_it_is_told_of() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let elsewhere = TcpListener::bind(("127.0.0.1", 0)).await.expect("bound");
    let address = elsewhere.local_addr().expect("bound");
    let file = dir.path().join("paastechd.toml");
    let text = format!(
        "data_dir = \"{0}/data\"\n[api]\nlisten = \"127.0.0.1:0\"\n\
         [ssh]\nlisten = \"127.0.0.1:0\"\ncontrol = \"http://{address}\"\n\
         [edge]\nlisten = \"127.0.0.1:0\"\ninternal_listen = \"127.0.0.1:0\"\nsocket = \"{0}/engine\"\n\
         [pomegranate]\nsocket = \"{0}/engine\"\n",
        dir.path().display()
    );
    std::fs::write(&file, text).expect("written");
    let shutdown = Shutdown::new();
    let config = Config::load(&[file]).expect("a configuration");
    let running = wire::start(config, &shutdown).await.expect("it starts");
    let key = dir.path().join("key");
    let made = program("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().await;
    assert!(made.expect("it starts").success());
    let port = running.ssh.port().to_string();
    let client = program("ssh")
        .args([
            "-q",
            "-F",
            "/dev/null",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
        ])
        .args(["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-T", "-p", &port, "-i"])
        .arg(&key)
        .arg("git@127.0.0.1")
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let asked = timeout(Duration::from_secs(20), elsewhere.accept()).await;
    asked.expect("the api elsewhere is asked for the key").expect("accepted");
    drop(client);
    shutdown.stop(Duration::from_secs(5)).await;
}

fn program(name: &str) -> Command {
    #[expect(clippy::disallowed_methods, reason = "a real client")]
    let mut command = Command::new(name);
    command.stdin(std::process::Stdio::null());
    command
}
