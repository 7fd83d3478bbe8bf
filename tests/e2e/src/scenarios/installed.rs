//! What holds of an installation under docker-compose.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode, header::RETRY_AFTER};
use serde_json::json;

use super::operator::{Filler, hidden, hide};
use crate::{
    Developer, Platform, Project, Repository, Shape, Source, eventually, process, push::Push, web::Load,
};

/// Dials each of these and says which answered.
const DIALLER: &str = "
import socket, sys
from concurrent.futures import ThreadPoolExecutor
def dial(target):
    host, port = target.rsplit(':', 1)
    try:
        socket.create_connection((host, int(port)), 3).close()
        return True
    except OSError:
        return False
targets = sys.argv[1:]
for target, answers in zip(targets, ThreadPoolExecutor(128).map(dial, targets)):
    if answers:
        print(target)
";

/// Where services listen: the database, gRPC, the API, git, the registry, the proxy's inner side, metrics.
const PORTS: [u16; 10] = [5432, 7001, 7002, 7003, 7080, 2222, 5000, 8081, 8082, 9464];

/// Who reaches whom, by whatever address. That a certificate is no other's is tried elsewhere.
const REACHES: [(&str, &[&str]); 7] = [
    ("api", &["postgres", "git-controller", "pomegranate", "api", "ssh-git-server", "host"]),
    ("ssh-git-server", &["api", "ssh-git-server", "host"]),
    ("git-controller", &["git-controller", "api", "host"]),
    ("pomegranate", &["pomegranate", "api", "registry", "host"]),
    ("registry", &["pomegranate", "registry", "host"]),
    ("postgres", &["postgres", "api", "host"]),
    ("engine-gate", &[]),
];

/// What listens where. The engine leads every network to the host, where the proxy's inner side is, and its metrics.
fn listening(shape: Shape) -> BTreeMap<&'static str, &'static [u16]> {
    let host: &[u16] = if shape == Shape::Traefik { &[8081, 8082, 9464] } else { &[8081, 9464] };
    BTreeMap::from([
        ("postgres", &[5432][..]),
        ("registry", &[5000]),
        ("git-controller", &[7001, 9464]),
        ("pomegranate", &[7002, 9464]),
        ("api", &[7003, 7080, 9464]),
        ("ssh-git-server", &[2222, 9464]),
        ("host", host),
    ])
}

pub(super) async fn each_service_reaches_its_neighbours_alone(platform: &Platform) {
    let installation = platform.installation();
    let addresses = platform.engine.addresses(&installation.name).await.expect("the engine answers");
    let targets: Vec<String> =
        addresses.keys().flat_map(|address| PORTS.map(|port| format!("{address}:{port}"))).collect();
    let (listening, mut wrong) = (listening(platform.shape), Vec::new());
    for (service, neighbours) in REACHES {
        let mut words = vec!["python3", "-c", DIALLER];
        words.extend(targets.iter().map(String::as_str));
        let reached = installation.exec(service, &words).await.expect("Python is in the image");
        let reached: BTreeSet<String> = reached
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(address, port)| format!("{}:{port}", addresses[address]))
            .collect();
        let expected: BTreeSet<String> = neighbours
            .iter()
            .flat_map(|name| listening[name].iter().map(move |port| format!("{name}:{port}")))
            .collect();
        if reached != expected {
            wrong.push(format!("{service}: {reached:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

pub(super) async fn every_service_is_confined(platform: &Platform) {
    let installation = platform.installation();
    let folder = installation.dir().join("secrets/api");
    // The installation's id is none.
    let files =
        fs::read_dir(folder).expect("root may").flatten().filter(|file| file.file_name() != "instance");
    let secrets: Vec<String> = files.filter_map(|file| fs::read_to_string(file.path()).ok()).collect();
    assert!(secrets.len() > 2, "there are keys and a password");
    let mut with_the_engine = Vec::new();
    for (name, found) in platform.engine.inspect(&installation.name).await.expect("the engine answers") {
        let (host, config) = (found.host_config.expect("told"), found.config.expect("told"));
        assert_eq!((host.readonly_rootfs, host.privileged), (Some(true), Some(false)), "{name}");
        assert_eq!(host.cap_drop.as_deref(), Some(&["ALL".to_owned()][..]), "{name}");
        assert!(host.cap_add.unwrap_or_default().is_empty(), "{name}");
        let options = host.security_opt.unwrap_or_default();
        assert!(options.iter().any(|option| option.starts_with("no-new-privileges")), "{name}: {options:?}");
        let user = config.user.unwrap_or_default();
        assert!(!user.is_empty() && !user.starts_with('0') && !user.starts_with("root"), "{name}: {user}");
        assert!(host.memory.unwrap_or_default() > 0 && host.pids_limit.unwrap_or_default() > 0, "{name}");
        let log = host.log_config.and_then(|log| log.config).unwrap_or_default();
        assert!(log.contains_key("max-size"), "{name}: {log:?}");
        let restart = host.restart_policy.and_then(|policy| policy.name).map(|name| name.to_string());
        assert_eq!(restart.as_deref(), Some("unless-stopped"), "{name}");
        assert!(config.healthcheck.is_some(), "{name}");
        let environment = config.env.unwrap_or_default().join("\n");
        assert!(!secrets.iter().any(|secret| environment.contains(secret.trim())), "{name}: {environment}");
        if found
            .mounts
            .unwrap_or_default()
            .iter()
            .any(|mount| mount.source.as_deref() == Some("/var/run/docker.sock"))
        {
            with_the_engine.push(name);
        }
    }
    with_the_engine.sort();
    assert_eq!(with_the_engine, ["engine-gate", "pomegranate"]);
}

pub(super) async fn what_serves_no_app_is_told_apart(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, _repository) = developer.live(platform, "one").await;
    let unknown = platform.site(&project.url.replace(&project.id, "00000000-0000-7000-8000-000000000000"));
    // The last two are Traefik's own.
    for path in ["/", "/api/rawdata", "/dashboard/"] {
        let page = unknown.get(path).await.expect("the proxy answers");
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}: {}", page.body);
    }
    let accepted = project.api.post(&project.path("/stop"), json!({})).await.ok();
    project.done(&accepted).await;
    eventually("the proxy says that it is stopped", 10, || async {
        let page = project.visit().await;
        (page.status == StatusCode::SERVICE_UNAVAILABLE && page.retry_after).then_some(())
    })
    .await;
}

pub(super) async fn a_value_that_is_missing_is_named(platform: &Platform) {
    let installation = platform.installation();
    let whole = fs::read_to_string(installation.dir().join(".env")).expect("it was written");
    for name in ["PAASTECH_DIR", "PAASTECH_TIER", "PAASTECH_NETWORK", "PAASTECH_API_PORT"] {
        let without: String =
            whole.lines().filter(|line| !line.starts_with(name)).map(|line| format!("{line}\n")).collect();
        let file = platform.directory().join("cut.env");
        fs::write(&file, without).expect("written");
        let output = installation.compose_with(&file).arg("config").output().await.expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(name), "{name}: {text}");
    }
}

pub(super) async fn an_upgrade_in_the_middle_of_a_push_loses_nothing(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository, load, push) = push_under_load(platform, &developer).await;
    platform.installation().upgrade().await.expect("installs over it");
    platform.ready().await.expect("ready again");
    // Its connection ends with the SSH server that it was made to.
    let pushed = push.end().await.code == Some(0);
    project.settled(120).await;
    // The proxy too is another one now: for a moment nobody listens, and with its end go the connections that it has not
    // looked at yet. The next Traefik knows no route until it has seen the engine.
    let unheard = ["(Connect)", "Connection reset", "connection closed before message completed"];
    let by_traefik = ["404 page not found", "timed out"];
    let passing = |failure: &String| {
        let says = |texts: &[&str]| texts.iter().any(|text| failure.contains(text));
        says(&unheard) || (platform.shape == Shape::Traefik && says(&by_traefik))
    };
    let failures = load.stop().await;
    assert!(failures.iter().all(passing), "{failures:?}");
    if !pushed {
        project.serves("old").await;
        repository.push(&project).await.succeeded();
    }
    project.serves("new").await;
}

pub(super) async fn twenty_redeployments_lose_no_request(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, _repository) = developer.live(platform, "one").await;
    let releases = project.api.get(&project.path("/releases")).await.ok();
    let release = releases["items"][0]["id"].clone();
    let (load, started) = (project.site.rate(100), Instant::now());
    for _ in 0..20 {
        let accepted =
            project.api.post(&project.path("/deployments"), json!({ "release": release })).await.ok();
        project.done(&accepted).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    let ended = load.ended();
    let failures = load.stop().await;
    assert!(
        failures.is_empty(),
        "{} of {ended} failed: {:?}",
        failures.len(),
        &failures[..3.min(failures.len())]
    );
    assert!(ended > 20 * 100, "{ended} requests in {seconds} s are no load");
}

pub(super) async fn a_moved_installation_is_restored_and_pushed_to_again(platform: &Platform) {
    const HOST_KEY: &str = "/var/lib/paastech/ssh/host_key_ed25519";
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    hide(&project, "hunter2").await;
    let installation = platform.installation();
    let said = |words: &[&str], stdin: Stdio| {
        let mut compose = installation.compose();
        compose.args(words).stdin(stdin);
        async move {
            let output = compose.output().await.expect("docker-compose runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        }
    };
    let keep = |name: &str, bytes: Vec<u8>| {
        let path = platform.directory().join(name);
        fs::write(&path, bytes).expect("written");
        move || Stdio::from(fs::File::open(&path).expect("it was written"))
    };
    let backup = said(&["exec", "-T", "api", "paastech-admin", "backup", "--to", "-"], Stdio::null()).await;
    let backup = keep("backup.tar", backup);
    let host_key =
        keep("host-key", said(&["exec", "-T", "ssh-git-server", "cat", HOST_KEY], Stdio::null()).await);
    let folder = platform.directory().join("folder");
    copy(installation.dir(), &folder).await;
    installation.uninstall().await.expect("nothing is left");
    copy(&folder, installation.dir()).await;
    installation.upgrade().await.expect("installs as it was");
    said(&["stop", "api", "ssh-git-server"], Stdio::null()).await;
    let restore =
        ["run", "--rm", "--no-deps", "-T", "--entrypoint", "paastech-admin", "api", "restore", "--from", "-"];
    let text = said(&restore, backup()).await;
    assert!(String::from_utf8_lossy(&text).contains("Restored 1 projects and 1 repositories"));
    said(&["up", "-d"], Stdio::null()).await;
    platform.ready().await.expect("ready");
    said(&["exec", "-T", "ssh-git-server", "tee", HOST_KEY], host_key()).await;
    said(&["restart", "ssh-git-server"], Stdio::null()).await;
    platform.ready().await.expect("ready");
    let mut doctor = installation.compose();
    doctor.args(["exec", "-T", "api", "paastech-admin", "doctor"]);
    let output = doctor.output().await.expect("docker-compose runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(&format!("paastech deploy --project {}", project.id)), "{text}");
    let project = Project { api: platform.api.log_in(&developer.email).await, ..project };
    let accepted = project.api.post(&project.path("/deployments"), json!({})).await.ok();
    project.done(&accepted).await;
    project.serves("one").await;
    assert_eq!(hidden(&project).await, "hunter2");
    repository.commit(&Source::greeting("two")).await;
    repository.push(&project).await.succeeded();
    project.serves("two").await;
    installation.exec("api", &["paastech-admin", "doctor"]).await.expect("all is well");
}

async fn copy(from: &Path, to: &Path) {
    let mut copy = process::command("cp", from);
    copy.arg("--archive").arg(from).arg(to);
    assert!(copy.status().await.expect("cp runs").success());
}

pub(super) async fn the_proxy_finds_its_routes_with_nothing_of_ours_alive(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, _repository) = developer.live(platform, "one").await;
    for program in ["api", "pomegranate", "ssh-git-server", "git-controller", "postgres"] {
        platform.kill(program).await;
    }
    platform.kill("paastech-edge").await;
    platform.start_again("paastech-edge").await;
    project.comes_to_serve("one", 10).await;
    let load = project.site.load(2);
    let before = load.ended();
    eventually("visitors come", 10, || async { (load.ended() > before + 20).then_some(()) }).await;
    platform.kill("paastech-engine-gate").await;
    let before = load.ended();
    eventually("they come on", 10, || async { (load.ended() > before + 20).then_some(()) }).await;
    platform.start_again("paastech-engine-gate").await;
    let failures = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
}

pub(super) async fn tenants_reach_no_service(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, _repository) = developer.live(platform, "curious").await;
    let services =
        platform.engine.addresses(&platform.installation().name).await.expect("the engine answers");
    let targets: Vec<String> = services
        .keys()
        .flat_map(|address| PORTS.map(|port| format!("{address}:{port}")))
        .chain([platform.place.ports.api, platform.place.ports.ssh].map(|address| address.to_string()))
        .collect();
    assert!(targets.len() > 60, "{services:?}");
    let reached =
        project.site.get(&format!("/reaches/{}", targets.join(","))).await.expect("the proxy answers");
    assert_eq!((reached.status.as_u16(), reached.body.as_str()), (200, ""), "an app reaches these");
    // As far as a build by buildpacks, or RUN in a Dockerfile, gets.
    let script = DIALLER.replace("sys.argv[1:]", &format!("{targets:?}"));
    let script = script.replace("print(target)", "print('reached', target)");
    let tool = format!("{script}\nprint('dialled all')\nsys.exit(1)\n");
    let by_buildpacks = Source::empty().with("setup.py", &tool).with("Procfile", "web: x");
    let dockerfile = "FROM paastech/base:12\nCOPY dial.py /\nRUN [\"python3\", \"/dial.py\"]\n";
    let by_dockerfile = Source::empty().with("dial.py", &tool).with("Dockerfile", dockerfile);
    for source in [by_buildpacks, by_dockerfile] {
        let project = developer.project(platform).await;
        let text = developer.repository(&source).await.push(&project).await.failed();
        assert!(text.contains("dialled all"), "{text}");
        assert!(!text.contains("reached "), "{text}");
    }
    project.serves("curious").await;
}

pub(super) async fn a_database_that_is_away_for_a_while_loses_nothing(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository, load, push) = push_under_load(platform, &developer).await;
    platform.kill("postgres").await;
    unavailable(platform, &project).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    platform.start_again("postgres").await;
    platform.ready().await.expect("the api finds it again by itself");
    let pushed = push.end().await.code == Some(0);
    project.settled(120).await;
    let failures = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
    if !pushed {
        repository.push(&project).await.succeeded();
    }
    project.serves("new").await;
}

pub(super) async fn a_rotated_database_password_is_taken_up(platform: &Platform) {
    const NEW: &str = "0123456789abcdef0123456789abcdef";
    let developer = platform.developer().await;
    let (project, _repository) = developer.live(platform, "one").await;
    let installation = platform.installation();
    let sql = format!("ALTER ROLE paastech PASSWORD '{NEW}'");
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'paastech'";
    for text in [sql.as_str(), cut] {
        installation
            .exec("postgres", &["psql", "-h", "/tmp", "-U", "postgres", "-c", text])
            .await
            .expect("psql");
    }
    unavailable(platform, &project).await;
    let log = platform.whole_log().await;
    assert!(log.contains("password authentication failed"), "the log says why");
    assert!(!log.contains(NEW), "and not with what");
    let file = installation.dir().join("secrets/api/database-url");
    fs::write(&file, format!("postgres://paastech:{NEW}@postgres/paastech")).expect("root may");
    platform.kill("paastech-api").await;
    platform.start_again("paastech-api").await;
    platform.ready().await.expect("with the new one");
    project.api.get(&project.path("")).await.ok();
}

pub(super) async fn a_database_with_a_full_disk_refuses_changes_and_loses_nothing(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, _repository) = developer.live(platform, "one").await;
    let filler = Filler::start(&platform.place.database);
    let set = |value: &str| json!({ "set": { "A": { "value": value.repeat(60_000), "kind": "plain" } }, "unset": [] });
    eventually("a change is refused", 60, || async {
        let answer = project.api.patch(&project.path("/variables"), set("x")).await;
        (answer.status == StatusCode::SERVICE_UNAVAILABLE).then_some(answer.headers.contains_key(RETRY_AFTER))
    })
    .await;
    assert_eq!(project.visit().await.status, StatusCode::OK);
    filler.remove();
    eventually("changes are taken again", 60, || async {
        project
            .api
            .try_call(Method::PATCH, &project.path("/variables"), Some(set("y")))
            .await
            .ok()?
            .status
            .is_success()
            .then_some(())
    })
    .await;
    project.settled(60).await;
    project.serves("one").await;
}

pub(super) async fn without_the_registry_what_is_here_goes_on(platform: &Platform) {
    let developer = platform.developer().await;
    let (project, repository) = developer.live(platform, "one").await;
    platform.kill("registry").await;
    repository.commit(&Source::greeting("two")).await;
    let text = repository.push(&project).await.failed();
    assert!(text.contains("registry") && text.contains("[remote rejected]"), "{text}");
    project.serves("one").await;
    // The engine has the image of what runs.
    let set = json!({ "set": { "GREETING": { "value": "set", "kind": "plain" } }, "unset": [] });
    let accepted = project.api.patch(&project.path("/variables"), set).await.ok();
    project.done(&accepted).await;
    project.serves("set").await;
    platform.start_again("registry").await;
    repository.push(&project).await.succeeded();
    let names = platform.engine.image_of(&project.id).await.expect("it runs");
    let pushed = format!("{}/apps/{}@sha256:", platform.place.ports.registry, project.id);
    assert!(names.iter().any(|name| name.starts_with(&pushed)), "{names:?}");
}

/// An app under load, and a push to it that is being built.
async fn push_under_load<'d>(
    platform: &Platform,
    developer: &'d Developer,
) -> (Project, Repository<'d>, Load, Push) {
    let (project, repository) = developer.live(platform, "old").await;
    let load = project.site.load(2);
    repository.commit(&Source::built_slowly(6, "new")).await;
    let push = repository.start_push(&project, &["main"]);
    push.says("Compiling slow").await;
    (project, repository, load, push)
}

/// The api says that it cannot now, and the app serves on.
async fn unavailable(platform: &Platform, project: &Project) {
    eventually("the api says that it cannot now", 20, || async {
        let answer = project.api.try_call(Method::GET, &project.path(""), None).await.ok()?;
        (answer.status == StatusCode::SERVICE_UNAVAILABLE && answer.headers.contains_key(RETRY_AFTER))
            .then_some(())
    })
    .await;
    let ready = platform.api.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE, "{}", ready.body);
    assert!(ready.body.to_string().contains("database"), "{}", ready.body);
    assert_eq!(project.visit().await.status, StatusCode::OK);
}
