//! `cargo xtask engine`: a container engine that answers on its socket, installed and started when there is none.
//! The socket is the only witness: a `docker` client on the `PATH` proves nothing.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use ::http::{Method, header::CONTENT_TYPE};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Resource, Rlimit, geteuid, setrlimit};
use serde::Deserialize;
use tokio::process::Child;

use crate::{
    apt,
    http::{self, Answer, Body, Server},
    interrupt, paths, process,
    progress::Step,
};

const SOCKET: &str = "/var/run/docker.sock";
/// Debian 12's engine speaks this one; nothing here needs a later one.
const API_FLOOR: (u32, u32) = (1, 41);
/// As its systemd unit has it: containers can get no more than the engine itself.
const OPEN_FILES: u64 = 1 << 20;
const START_PATIENCE: Duration = Duration::from_secs(240);

/// An engine that answers.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    /// Its socket.
    pub(crate) socket: PathBuf,
    /// Its version, for people.
    pub(crate) version: String,
    /// The API version it speaks by itself.
    pub(crate) api: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    version: String,
    api_version: String,
}

impl Engine {
    /// One GET of its API; the path has no version.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        self.call(Method::GET, path, http::empty()).await
    }

    /// One POST of JSON to its API; the path has no version.
    pub(crate) async fn post(&self, path: &str, body: &serde_json::Value) -> Result<Answer> {
        let request = http::request(Method::POST, &format!("/v{}{path}", self.api));
        let request = request.header(CONTENT_TYPE, "application/json").body(http::full(body.to_string()))?;
        Server::Unix(self.socket.clone()).call(request).await
    }

    /// One call of its API whose answer comes in lines; the path has no version.
    pub(crate) async fn stream(
        &self,
        method: Method,
        path: &str,
        body: Body,
        told: impl FnMut(&str),
    ) -> Result<()> {
        let request = http::request(method, &format!("/v{}{path}", self.api));
        let request = request.header(CONTENT_TYPE, "application/x-tar").body(body)?;
        Server::Unix(self.socket.clone()).stream(request, told).await
    }

    /// One call of its API; the path has no version.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Body) -> Result<Answer> {
        let request = http::request(method, &format!("/v{}{path}", self.api));
        Server::Unix(self.socket.clone())
            .call(request.header(CONTENT_TYPE, "application/x-tar").body(body)?)
            .await
    }
}

/// The engine, installed and started when there is none and we may.
pub(crate) async fn ensure() -> Result<Engine> {
    let lock = File::create(paths::cache()?.join("engine.lock"))?;
    let _held = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    let socket = socket()?;
    if let Some(engine) = ask(&socket).await? {
        return Ok(engine);
    }
    if socket != Path::new(SOCKET) {
        bail!(
            "no engine answers at {}, which DOCKER_HOST names: start it or unset DOCKER_HOST",
            socket.display()
        );
    }
    if !geteuid().is_root() {
        bail!(
            "no container engine answers at {SOCKET}: run `sudo cargo xtask engine` once, \
             and join the group of that socket (`sudo usermod -aG docker $USER`, then log in again)"
        );
    }
    apt::ensure(&["docker.io", "iptables", "ca-certificates"], "a container engine").await?;
    start(&socket).await
}

/// The engine that answers now, or a line about what to do.
pub(crate) async fn find() -> Result<Engine> {
    let found = ask(&socket()?).await?;
    found.context("no container engine answers: run `cargo xtask engine` (as root) first")
}

fn socket() -> Result<PathBuf> {
    let Some(host) = paths::env("DOCKER_HOST") else { return Ok(PathBuf::from(SOCKET)) };
    let host = host.to_string_lossy().into_owned();
    let path = host.strip_prefix("unix://");
    Ok(PathBuf::from(
        path.with_context(|| format!("DOCKER_HOST is {host}: only unix:// sockets are supported"))?,
    ))
}

async fn ask(socket: &Path) -> Result<Option<Engine>> {
    ensure_permitted(socket)?;
    let Ok(answer) = Server::Unix(socket.to_owned()).get("/version").await else { return Ok(None) };
    let version: Version = answer.json().context("the engine's socket answers, but not as an engine")?;
    ensure!(
        api_at_least(&version.api_version, API_FLOOR),
        "the engine speaks API {}, and {}.{} is the least that works: update it",
        version.api_version,
        API_FLOOR.0,
        API_FLOOR.1,
    );
    Ok(Some(Engine { socket: socket.to_owned(), version: version.version, api: version.api_version }))
}

fn ensure_permitted(socket: &Path) -> Result<()> {
    match std::os::unix::net::UnixStream::connect(socket) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => bail!(
            "the engine's socket {} is not open to this user: \
             run `sudo usermod -aG docker $USER` and log in again",
            socket.display()
        ),
        _ => Ok(()),
    }
}

async fn start(socket: &Path) -> Result<Engine> {
    let step = Step::new("starting the container engine");
    let log = paths::cache()?.join("dockerd.log");
    // The package's own scripts may have started it already.
    if let Some(engine) = ask(socket).await? {
        step.done(&format!("engine {}", engine.version));
        return Ok(engine);
    }
    let systemd = Path::new("/run/systemd/system").is_dir();
    let mut alone = if systemd {
        process::logged(&mut process::argv(["systemctl", "enable", "--now", "docker.service"]), &log).await?;
        None
    } else {
        Some(start_alone(&log)?)
    };
    let mut restarts = 10;
    let deadline = tokio::time::Instant::now() + START_PATIENCE;
    while tokio::time::Instant::now() < deadline {
        interrupt::check()?;
        if let Some(engine) = ask(socket).await? {
            step.done(&format!("engine {}", engine.version));
            return Ok(engine);
        }
        // What a killed engine left is cleared a part at each start, and each gives up after 15 s of it.
        if let Some(engine) = &mut alone
            && restarts > 0
            && engine.try_wait()?.is_some()
        {
            restarts -= 1;
            *engine = start_alone(&log)?;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let place = if systemd { "`journalctl -u docker`".to_owned() } else { log.display().to_string() };
    bail!("the container engine did not answer within {} s: see {place}", START_PATIENCE.as_secs())
}

/// In a session of its own: it outlives us and hears nothing of our terminal.
fn start_alone(log: &Path) -> Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    // Where we may not, containers have to do with what we have.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(OPEN_FILES), maximum: Some(OPEN_FILES) });
    process::argv(["setsid", "dockerd"])
        .kill_on_drop(false)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start dockerd")
}

fn api_at_least(version: &str, floor: (u32, u32)) -> bool {
    version
        .split_once('.')
        .and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)))
        .is_some_and(|version| version >= floor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_versions_compare_as_numbers() {
        assert!(
            api_at_least("1.41", API_FLOOR)
                && api_at_least("1.100", API_FLOOR)
                && api_at_least("2.0", API_FLOOR)
        );
        assert!(!api_at_least("1.9", API_FLOOR) && !api_at_least("junk", API_FLOOR));
    }

    #[tokio::test]
    async fn nothing_on_the_socket_is_no_engine() {
        let dir = tempfile::tempdir().unwrap();
        assert!(ask(&dir.path().join("absent.sock")).await.unwrap().is_none());
    }
}
