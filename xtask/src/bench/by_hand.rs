//! The phases of a build with nothing around them: what the platform's own time is measured against.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    builder::images::{BUILDER, LIFECYCLE, RUN},
    engine::Engine,
    http as client, paths,
    progress::Step,
    sample,
};

const TARGET: &str = "pt-bench/app:1";
const VOLUMES: [&str; 6] = ["workspace", "layers", "meta", "platform", "cache", "launch-cache"];
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
const VARIABLES: [&str; 4] = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "CARGO_HTTP_CAINFO"];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
}

/// Runs them; nothing is left.
pub(crate) async fn run(engine: &Engine) -> Result<Duration> {
    let step = Step::new("the phases by hand");
    let outcome = phases(engine, &step).await;
    for volume in VOLUMES {
        engine
            .call(Method::DELETE, &format!("/volumes/pt-bench-{volume}?force=true"), client::empty())
            .await?;
    }
    engine.call(Method::DELETE, &format!("/images/{TARGET}?force=true"), client::empty()).await?;
    let spent = outcome?;
    step.done("");
    Ok(spent)
}

async fn phases(engine: &Engine, step: &Step) -> Result<Duration> {
    let source = source()?;
    let began = Instant::now();
    let holder = create(engine, LIFECYCLE, "0:0", "none", &["-"], &[]).await?;
    let answer = engine
        .call(Method::PUT, &format!("/containers/{holder}/archive?path=/"), client::full(source))
        .await?;
    remove(engine, &holder).await?;
    ensure!(answer.status.is_success(), "the source cannot be put: {}", answer.text());
    let common = ["-no-color", "-layers", "/layers", "-analyzed", "/meta/analyzed.toml"];
    let app = ["-app", "/workspace"];
    let platform = ["-platform", "/platform", "-build-config", "/meta/build-config"];
    let found = ["-group", "/layers/group.toml"];
    let plan = ["-plan", "/layers/plan.toml"];
    let daemon = ["-daemon"];
    let cache = ["-cache-dir", "/cache"];
    let launch = ["-launch-cache", "/launch-cache"];
    let web = ["-process-type", "web", TARGET];
    let phases: [(&str, bool, Vec<&str>); 5] = [
        ("analyzer", true, [&common[..], &daemon, &launch, &["-run-image", RUN, TARGET]].concat()),
        ("detector", false, [&common[..], &app, &platform, &found, &plan].concat()),
        ("restorer", true, [&common[..], &daemon, &cache, &found].concat()),
        ("builder", false, [&common[..], &app, &platform, &found, &plan].concat()),
        ("exporter", true, [&common[..], &daemon, &app, &found, &cache, &launch, &web].concat()),
    ];
    for (name, trusted, arguments) in phases {
        step.note(name);
        let program = format!("/cnb/lifecycle/{name}");
        let words: Vec<&str> = [program.as_str()].into_iter().chain(arguments).collect();
        let socket = [engine.socket.to_string_lossy().into_owned()];
        let id = match trusted {
            true => create(engine, LIFECYCLE, "0:0", "none", &words, &socket).await?,
            false => create(engine, BUILDER, "1000:1000", "bridge", &words, &[]).await?,
        };
        let ended = finish(engine, &id).await;
        remove(engine, &id).await?;
        ended.with_context(|| name.to_owned())?;
    }
    Ok(began.elapsed())
}

async fn create(
    engine: &Engine,
    image: &str,
    user: &str,
    network: &str,
    words: &[&str],
    sockets: &[String],
) -> Result<String> {
    let mut binds: Vec<String> =
        VOLUMES.iter().map(|name| format!("pt-bench-{name}:/{name}:nocopy")).collect();
    binds.extend(sockets.iter().map(|socket| format!("{socket}:/gate")));
    let body = json!({
        "Image": image,
        "User": user,
        "Entrypoint": words,
        "WorkingDir": "/layers",
        "Env": ["CNB_PLATFORM_API=0.14", "CNB_USER_ID=1000", "CNB_GROUP_ID=1000", "DOCKER_HOST=unix:///gate"],
        "HostConfig": { "Binds": binds, "NetworkMode": network, "Tmpfs": { "/tmp": "rw,exec" }, "Init": true },
    });
    Ok(engine.post("/containers/create", &body).await?.json::<Created>()?.id)
}

/// Starts a container and waits for its good end.
async fn finish(engine: &Engine, id: &str) -> Result<()> {
    let started = engine.call(Method::POST, &format!("/containers/{id}/start"), client::empty()).await?;
    ensure!(started.status.is_success(), "{}", started.text());
    let mut code = None;
    let told = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        code = line["StatusCode"].as_i64().or(code);
    };
    engine.stream(Method::POST, &format!("/containers/{id}/wait"), client::empty(), told).await?;
    if code != Some(0) {
        let log = engine.get(&format!("/containers/{id}/logs?stdout=true&stderr=true&tail=20")).await?;
        bail!("ended with {code:?}: {}", log.text());
    }
    Ok(())
}

async fn remove(engine: &Engine, id: &str) -> Result<()> {
    engine.call(Method::DELETE, &format!("/containers/{id}?force=true"), client::empty()).await.map(drop)
}

/// The sample, and what a platform gives a build, as one tar.
fn source() -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut entry = |name: &str, bytes: &[u8], kind: tar::EntryType| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(1000);
        header.set_gid(1000);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes)
    };
    for dir in VOLUMES.into_iter().chain(["meta/build-config", "meta/build-config/env", "platform/env"]) {
        entry(&format!("{dir}/"), &[], tar::EntryType::Directory)?;
    }
    for name in VARIABLES {
        entry(&format!("meta/build-config/env/{name}"), CERTIFICATES.as_bytes(), tar::EntryType::Regular)?;
    }
    for file in std::fs::read_dir(paths::workspace().join("samples").join(sample::SAMPLE))? {
        let file = file?;
        let name = format!("workspace/{}", file.file_name().to_string_lossy());
        entry(&name, &std::fs::read(file.path())?, tar::EntryType::Regular)?;
    }
    Ok(tar.into_inner()?)
}
