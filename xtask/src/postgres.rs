//! A throw-away PostgreSQL from Debian's package: one cluster in a temporary directory, on a loopback port.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use paastech_runtime::{Peer, TlsConfig};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::{apt, interrupt, process, progress::Step, random};

const VERSIONS: &str = "/usr/lib/postgresql";
const PATIENCE: Duration = Duration::from_secs(60);
const USER: &str = "postgres";

/// A running cluster.
pub(crate) struct Postgres {
    child: Child,
    url: String,
    authority: PathBuf,
    _registered: Option<interrupt::Registered>,
    // Removed last.
    dir: TempDir,
}

impl Postgres {
    /// Makes and starts a cluster in a directory of its own within `within`.
    pub(crate) async fn start(within: &Path) -> Result<Self> {
        let bin = programs().await?;
        let step = Step::new("starting a throw-away PostgreSQL");
        let dir = tempfile::Builder::new().prefix("postgres-").tempdir_in(within)?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700))?;
        let password = random::hex(16)?;
        let password_file = dir.path().join("password");
        fs::write(&password_file, &password)?;
        let tls = certificate(dir.path())?;
        if geteuid().is_root() {
            let id = user_id().await?;
            for path in [&password_file, &tls.certificate, &tls.key, dir.path()] {
                chown(path, Some(id), None)?;
            }
        }
        let data = dir.path().join("data");
        init(&bin, &data, &password_file).await?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut server = as_user(&bin.join("postgres"));
        server.current_dir(dir.path()).arg("-D").arg(&data).args(["-p", &port.to_string()]);
        server.arg("-c").arg(format!("unix_socket_directories={}", dir.path().display()));
        // Nothing here outlives a crash, so nothing waits for the disk.
        for setting in
            ["listen_addresses=127.0.0.1", "fsync=off", "synchronous_commit=off", "max_connections=300"]
        {
            server.args(["-c", setting]);
        }
        server.args(["-c", "ssl=on"]);
        server.arg("-c").arg(format!("ssl_cert_file={}", tls.certificate.display()));
        server.arg("-c").arg(format!("ssl_key_file={}", tls.key.display()));
        let log = fs::File::create(dir.path().join("log"))?;
        let child = server.stdout(log.try_clone()?).stderr(log).spawn().context("cannot start postgres")?;
        let registered = child.id().map(interrupt::Registered::new);
        let url = format!("postgres://{USER}:{password}@127.0.0.1:{port}/postgres");
        let mut this = Self { child, url, authority: tls.ca, _registered: registered, dir };
        this.ready(&bin, port).await?;
        step.done(&format!("port {port}"));
        Ok(this)
    }

    /// The superuser's URL.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// The certificate of the authority that vouches for it.
    pub(crate) fn authority(&self) -> &Path {
        &self.authority
    }

    /// Stops it and removes all it had.
    pub(crate) async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            // PostgreSQL's "fast" shutdown: it does not wait for clients.
            kill_process(pid, Signal::INT)?;
        }
        timeout(PATIENCE, self.child.wait()).await.context("postgres does not end")??;
        Ok(())
    }

    async fn ready(&mut self, bin: &Path, port: u16) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read(self.dir.path().join("log")).unwrap_or_default();
                bail!("postgres ended ({status}):\n{}", process::tail(&log, 10));
            }
            let mut ask = process::argv([bin.join("pg_isready")]);
            ask.args(["--quiet", "--host", "127.0.0.1", "--port", &port.to_string()]);
            if process::status(&mut ask).await?.success() {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
        bail!("postgres is not ready after {} s", PATIENCE.as_secs())
    }
}

/// A certificate for the server, and its authority's.
fn certificate(dir: &Path) -> Result<TlsConfig> {
    let made = dir.join("certs");
    paastech_certs::ensure(&made, OffsetDateTime::now_utc(), false)?;
    let from = paastech_certs::files(&made, Peer::Api);
    let file = |name: &str| dir.join(name);
    let to = TlsConfig { ca: file("ca.pem"), certificate: file("certificate.pem"), key: file("key.pem") };
    for (from, to) in [(&from.ca, &to.ca), (&from.certificate, &to.certificate), (&from.key, &to.key)] {
        fs::copy(from, to)?;
        fs::set_permissions(to, fs::Permissions::from_mode(0o600))?;
    }
    Ok(to)
}

async fn init(bin: &Path, data: &Path, password_file: &Path) -> Result<()> {
    let mut initdb = as_user(&bin.join("initdb"));
    initdb.current_dir("/").arg("-D").arg(data).arg(format!("--pwfile={}", password_file.display()));
    initdb.args(["-U", USER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]);
    process::stdout(&mut initdb).await.map(drop)
}

/// The newest server's directory of programs; installed when there is none.
async fn programs() -> Result<PathBuf> {
    if let Some(found) = newest() {
        return Ok(found);
    }
    let configuration = Path::new("/etc/postgresql-common/createcluster.conf");
    if geteuid().is_root() && !configuration.exists() {
        // The package would make and start a cluster of its own, which nobody asked for.
        fs::create_dir_all("/etc/postgresql-common")?;
        fs::write(configuration, "create_main_cluster = false\n")?;
    }
    apt::ensure(&["postgresql"], "the tests on PostgreSQL").await?;
    newest().with_context(|| format!("no PostgreSQL server under {VERSIONS}"))
}

fn newest() -> Option<PathBuf> {
    let found = fs::read_dir(VERSIONS).ok()?.flatten().filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let bin = entry.path().join("bin");
        bin.join("initdb").is_file().then_some((version, bin))
    });
    found.max().map(|(_, bin)| bin)
}

/// PostgreSQL refuses root.
fn as_user(program: &Path) -> Command {
    if !geteuid().is_root() {
        return process::command(program);
    }
    let mut command = process::argv(["setpriv", "--reuid", USER, "--regid", USER, "--init-groups"]);
    command.arg(program);
    command
}

async fn user_id() -> Result<u32> {
    Ok(process::stdout(&mut process::argv(["id", "--user", USER])).await?.trim().parse()?)
}
