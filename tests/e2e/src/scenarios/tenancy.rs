//! Tenants' code is alone.

use std::net::{TcpListener, TcpStream};

use crate::{Platform, Source};

pub(super) async fn apps_reach_neither_each_other_nor_the_engine(platform: &Platform) {
    let developer = platform.developer().await;
    let (victim, _theirs) = developer.live(platform, "victim").await;
    let address = platform.engine.address_of(&victim.id).await.expect("an app has an address");
    let other = platform.developer().await;
    let (project, _repository) = other.live(platform, "curious").await;
    let dial = async |target: &str| {
        project.site.get(&format!("/dial/{target}")).await.expect("the proxy answers").body
    };
    assert_eq!(dial(&format!("{address}:8080")).await, "unreachable");
    assert_eq!(dial("127.0.0.1:8080").await, "connected", "the question itself works");
    assert_eq!(project.site.get("/exists/var/run/docker.sock").await.expect("it answers").body, "no");
}

pub(super) async fn apps_reach_neither_the_host_nor_link_local(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, _repository) = developer.live(platform, "curious").await;
    let gateway = platform.engine.gateway_of(&project.id).await.expect("an app has a gateway");
    let listener = TcpListener::bind((gateway.as_str(), 0)).expect("the gateway is this host");
    let host = listener.local_addr().expect("it is bound").to_string();
    TcpStream::connect(&host).expect("the host reaches itself");
    let firewall = platform.firewall.as_ref().expect("the rules are loaded");
    for (target, rule) in [(host.as_str(), "\"pt-*\" ct state new"), ("169.254.169.254:80", "169.254.0.0/16")]
    {
        let before = firewall.dropped(rule).await.expect("the rules count");
        let dialled = project.site.get(&format!("/dial/{target}")).await.expect("the proxy answers").body;
        assert_eq!(dialled, "unreachable", "{target}");
        let after = firewall.dropped(rule).await.expect("the rules count");
        assert!(after > before, "{target} was not dropped by {rule}");
    }
    project.serves("curious").await;
}

/// Runs while a Python app is built, says how far it got, and fails the build with it.
const DIALLER: &str = r#"
import socket, struct, sys

def gateway():
    for line in open("/proc/net/route").readlines()[1:]:
        words = line.split()
        if words[1] == "00000000":
            return socket.inet_ntoa(struct.pack("<L", int(words[2], 16)))

def dial(name, host, port):
    try:
        socket.create_connection((host, port), 3).close()
        return name + " connected;"
    except TimeoutError:
        return name + " dropped;"
    except OSError as error:
        return "%s %s;" % (name, error)

sys.exit(" ".join([
    "dialled:",
    dial("host", gateway(), HOST_PORT),
    dial("metadata", "169.254.169.254", 80),
    dial("app", "APP_ADDRESS", 8080),
]))
"#;

pub(super) async fn builds_reach_neither_the_host_nor_link_local_nor_an_app(platform: &Platform) {
    let developer = platform.developer().await;
    let (victim, _theirs) = developer.live(platform, "victim").await;
    let app = platform.engine.address_of(&victim.id).await.expect("an app has an address");
    let listener = TcpListener::bind("0.0.0.0:0").expect("any port will do");
    let port = listener.local_addr().expect("it is bound").port();
    let script = DIALLER.replace("HOST_PORT", &port.to_string()).replace("APP_ADDRESS", &app);
    let other = platform.developer().await;
    // The build tool of the one comes from the package index: the way out is open.
    let by_buildpacks = Source::empty().with("setup.py", &script).with("Procfile", "web: x");
    let dockerfile = "FROM paastech/base:12\nCOPY dial.py /\nRUN [\"python3\", \"/dial.py\"]\n";
    let by_dockerfile = Source::empty().with("dial.py", &script).with("Dockerfile", dockerfile);
    for source in [by_buildpacks, by_dockerfile] {
        let project = other.project(platform).await;
        let ended = other.repository(&source).await.push(&project).await;
        assert_eq!(ended.code, Some(1), "{}", ended.text);
        let expected = "dialled: host dropped; metadata dropped; app dropped;";
        assert!(ended.text.contains(expected), "{}", ended.text);
    }
    victim.serves("victim").await;
}
