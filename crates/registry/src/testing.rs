//! Debian's registry with the configuration that is deployed, on a port and in a directory of a test's own.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use paastech_runtime::Secret;
use paastech_types::ProjectId;
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::{Action, TokenConfig, TokenKey};

/// Debian's program.
pub const PROGRAM: &str = "/usr/bin/docker-registry";
const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/compose/config/registry.yml");
const PATIENCE: Duration = Duration::from_secs(10);

/// One registry; it ends and is gone when dropped.
pub struct Registry {
    child: Option<Child>,
    port: u16,
    realm: Option<String>,
    key: TokenKey,
    dir: TempDir,
}

impl Registry {
    /// Starts one.
    #[must_use]
    pub fn start() -> Self {
        let mut this = Self::stopped();
        this.restart();
        this
    }

    /// One that is not running.
    #[must_use]
    pub fn stopped() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let files = paastech_certs::registry_token(dir.path(), OffsetDateTime::now_utc()).expect("a key");
        let key = token_key(&files.key, files.certificate);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        Self { child: None, port, realm: None, key, dir }
    }

    /// From its next start on it sends who has no token to this address for one.
    #[must_use]
    pub fn with_realm(mut self, realm: String) -> Self {
        self.realm = Some(realm);
        self
    }

    /// Starts it, again or for the first time, and waits until it answers.
    pub fn restart(&mut self) {
        #[expect(clippy::disallowed_methods, reason = "the tests own this child, and there is an argv")]
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg(CONFIG).envs(self.environment()).stdin(Stdio::null());
        command.envs(self.realm.iter().map(|realm| ("REGISTRY_AUTH_TOKEN_REALM", realm)));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("these tests need Debian's package docker-registry");
        self.await_answer();
        // Or the answer is somebody else's, who has taken the port.
        assert!(child.try_wait().expect("asked").is_none(), "the registry has ended");
        self.child = Some(child);
    }

    /// Waits until it answers, whoever has started it.
    pub fn await_answer(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            assert!(Instant::now() < deadline, "the registry does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What is not as deployed: where it listens, and where its files are.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 4] {
        let within = |name: &str| self.dir.path().join(name).display().to_string();
        [
            ("REGISTRY_HTTP_ADDR", self.address()),
            ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", within("data")),
            ("REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE", within("certificate.pem")),
            ("OTEL_TRACES_EXPORTER", "none".to_owned()),
        ]
    }

    /// Ends it; what it holds stays.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Host and port, as images' names begin.
    #[must_use]
    pub fn address(&self) -> String {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)).to_string()
    }

    /// Its HTTP API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The directory of all it has; its configuration is [`config`].
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A token of ten minutes.
    #[must_use]
    pub fn token(&self, project: ProjectId, actions: &[Action]) -> String {
        let now = now_ms();
        self.key.issue(project, actions, (now, now + 600_000))
    }

    /// A token that ended that long ago.
    #[must_use]
    pub fn expired_token(&self, project: ProjectId, actions: &[Action], ago: Duration) -> String {
        let end = now_ms() - i64::try_from(ago.as_millis()).expect("short");
        self.key.issue(project, actions, (end - 600_000, end))
    }

    /// Bytes of all layers and manifests.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        bytes(&self.dir.path().join("data/docker/registry/v2/blobs"))
    }

    /// The file of a manifest, by a reference to it.
    #[must_use]
    pub fn blob(&self, reference: &str) -> PathBuf {
        let (_, digest) = reference.split_once("@sha256:").expect("by digest");
        let blobs = self.dir.path().join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&digest[..2]).join(digest).join("data")
    }

    fn answers(&self) -> bool {
        let ask = || {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok::<_, std::io::Error>(answer.starts_with(b"HTTP/1.0 200"))
        };
        ask().unwrap_or(false)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The configuration that is deployed.
#[must_use]
pub fn config() -> PathBuf {
    Path::new(CONFIG).canonicalize().expect("the configuration is there")
}

/// Signs with these files.
#[must_use]
pub fn token_key(key: &Path, certificate: PathBuf) -> TokenKey {
    let key = Secret::new(std::fs::read_to_string(key).expect("a key"));
    TokenKey::open(TokenConfig {
        key,
        certificate,
        service: crate::token::service(),
        issuer: crate::token::issuer(),
        prefix: crate::default_prefix(),
    })
    .expect("a key")
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("not yet")
}

fn bytes(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else {
        return path.metadata().map_or(0, |file| file.len());
    };
    entries.flatten().map(|entry| bytes(&entry.path())).sum()
}
