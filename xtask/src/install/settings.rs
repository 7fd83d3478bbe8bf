//! What an installation is told, and what it is given: its `.env`, its secrets, its certificates.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use paastech_runtime::SecretFiles;
use time::OffsetDateTime;

use super::images;
use crate::{engine, engine::Engine, ports::Ports, random};

/// Where an installation is, unless it is told otherwise.
pub(super) const DIR: &str = "/srv/paastech";
/// The user of the services, in their images and on the host.
const UID: u32 = 870;

/// The variable of the registry's port.
const REGISTRY: &str = "PAASTECH_REGISTRY_PORT";

/// What an operator decides.
#[derive(Debug, Args)]
pub(super) struct Settings {
    /// The folder of the installation's settings, secrets and certificates
    #[arg(long, value_name = "DIR", default_value = DIR)]
    pub(super) dir: PathBuf,
    /// Apps are served at <project>.user-app.<DOMAIN> [default: localhost, or what was installed]
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    domain: Option<String>,
    /// Where apps are served [default: 8080 on loopback for localhost, else 80 everywhere]
    #[arg(long, value_name = "PORT")]
    http_port: Option<u16>,
    /// Where git is served
    #[arg(long, value_name = "PORT", default_value_t = 2222)]
    ssh_port: u16,
    /// Where the API is served, on loopback
    #[arg(long, value_name = "PORT", default_value_t = 7080)]
    api_port: u16,
    /// Where the host's engine finds the registry of built images, on loopback
    #[arg(long, value_name = "PORT", default_value_t = 5000)]
    registry_port: u16,
    /// What docker-compose calls the installation
    #[arg(long, value_name = "NAME", default_value = "paastech", value_parser = domain)]
    name: String,
    /// The first three numbers of the services' own network: another one where this is taken
    #[arg(long, value_name = "A.B.C", default_value = "10.187.1", value_parser = network)]
    control: String,
}

impl Settings {
    /// One beside others, for a test.
    pub(super) fn throw_away(dir: PathBuf, ports: &Ports) -> Result<Self> {
        let registry = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        Ok(Self {
            dir,
            domain: None,
            http_port: Some(ports.http().port()),
            ssh_port: ports.ssh().port(),
            api_port: ports.api().port(),
            registry_port: registry.port(),
            name: "paastech-test".to_owned(),
            control: "10.187.201".to_owned(),
        })
    }

    /// The apps' domain.
    pub(super) fn domain(&self) -> &str {
        self.domain.as_deref().unwrap_or("localhost")
    }

    fn is_local(&self) -> bool {
        self.domain() == "localhost"
    }

    /// What clients of the host's own may see: loopback on a laptop.
    fn listen(&self) -> IpAddr {
        if self.is_local() { Ipv4Addr::LOCALHOST.into() } else { Ipv4Addr::UNSPECIFIED.into() }
    }

    /// The port of the apps.
    pub(super) fn http_port(&self) -> u16 {
        self.http_port.unwrap_or(if self.is_local() { 8080 } else { 80 })
    }

    /// Where the API is.
    pub(super) fn api(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.api_port).into()
    }

    /// What people push to.
    pub(super) fn ssh(&self) -> String {
        let host = if self.is_local() { "127.0.0.1" } else { self.domain() };
        format!("{host}:{}", self.ssh_port)
    }

    /// Whether what is asked for can be had.
    pub(super) fn check(&self) -> Result<()> {
        let path = self.dir.to_str().context("--dir: not UTF-8")?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
        ensure!(
            self.dir.is_absolute() && path.bytes().all(plain) && path.len() <= 64,
            "--dir: an absolute path of at most 64 letters, digits, and . - _"
        );
        if self.env_file().exists() {
            // Its own services hold the ports.
            return Ok(());
        }
        for (flag, addr) in self.ports() {
            if let Err(error) = TcpListener::bind(addr) {
                bail!("{addr} cannot be listened on ({error}): free it, or name another port with {flag}");
            }
        }
        Ok(())
    }

    fn ports(&self) -> [(&'static str, SocketAddr); 4] {
        [
            ("--http-port", (self.listen(), self.http_port()).into()),
            ("--ssh-port", (self.listen(), self.ssh_port).into()),
            ("--api-port", self.api()),
            ("--registry-port", (Ipv4Addr::LOCALHOST, self.registry_port).into()),
        ]
    }

    /// Says what the host has; changes nothing.
    pub(super) async fn report(&self) -> Result<()> {
        match engine::find().await {
            Ok(engine) => println!("engine: {}, API {}", engine.version, engine.api),
            Err(error) => println!("engine: none yet, `install` brings one ({error})"),
        }
        let cgroups = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "v2" } else { "v1" };
        println!("cgroups: {cgroups}");
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap_or(" unknown");
        println!("memory available: {}", memory.trim());
        let existing = self.dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
        let disk = rustix::fs::statvfs(existing)?;
        println!("disk free at {}: {} MiB", existing.display(), (disk.f_bavail * disk.f_frsize) >> 20);
        for (flag, addr) in self.ports() {
            match TcpListener::bind(addr) {
                Ok(_) => println!("{addr}: free"),
                Err(error) => println!("{addr}: {error}; another with {flag}"),
            }
        }
        if !self.is_local() {
            let name = format!("any.user-app.{}", self.domain());
            match tokio::net::lookup_host((name.as_str(), 80)).await {
                Ok(mut found) => println!(
                    "{name}: {}",
                    found.next().map_or("nothing".to_owned(), |addr| addr.ip().to_string())
                ),
                Err(error) => println!("{name}: {error}; point *.user-app.{} here", self.domain()),
            }
        }
        let state = if self.env_file().exists() { "is there" } else { "none yet" };
        println!("installation at {}: {state}", self.dir.display());
        Ok(())
    }

    fn env_file(&self) -> PathBuf {
        self.dir.join(".env")
    }

    fn secrets(&self) -> PathBuf {
        self.dir.join("secrets")
    }

    /// Makes what is absent, keeps what is there, and returns the installation's id.
    pub(super) fn write(&self, engine: &Engine, tag: &str) -> Result<String> {
        fs::create_dir_all(&self.dir).with_context(|| format!("cannot make {}", self.dir.display()))?;
        drop(SecretFiles::ensure(self.secrets())?.label_hmac()?);
        let of_api = SecretFiles::ensure(self.secrets().join("api"))?;
        drop((of_api.kek()?, of_api.jwt()?));
        let instance = of_api.instance()?;
        self.database_password()?;
        for outcome in paastech_certs::ensure(&self.dir.join("certs"), OffsetDateTime::now_utc(), false)? {
            own_all(&self.dir.join("certs").join(outcome.service.name()))?;
        }
        let of_registry = self.dir.join("certs/registry-token");
        paastech_certs::registry_token(&of_registry, OffsetDateTime::now_utc())?;
        own_all(&of_registry)?;
        own_all(&self.secrets().join("api"))?;
        own(&self.secrets().join("label-hmac"))?;
        let gate = self.dir.join("gate");
        fs::create_dir_all(&gate)?;
        own(&gate)?;
        let socket = fs::metadata(&engine.socket).context("the engine's socket cannot be looked at")?.gid();
        let env = format!(
            "# Written by `cargo xtask install`.\n\
             COMPOSE_PROJECT_NAME={name}\nPAASTECH_CONTROL={control}\n\
             PAASTECH_DIR={dir}\nPAASTECH_IMAGES={images}\nPAASTECH_TAG={tag}\nPAASTECH_INSTANCE={instance}\n\
             PAASTECH_ENGINE_GROUP={socket}\nPAASTECH_DOMAIN={domain}\nPAASTECH_API_PORT={api}\n\
             PAASTECH_SSH_HOST={ssh_host}\nPAASTECH_SSH_LISTEN={listen}\nPAASTECH_SSH_PORT={ssh}\n\
             PAASTECH_HTTP_LISTEN={listen}\nPAASTECH_HTTP_PORT={http}\nPAASTECH_PROXY_PUBLIC={public}\n\
             {REGISTRY}={registry}\n",
            name = self.name,
            control = self.control,
            dir = self.dir.display(),
            images = images::REPOSITORY,
            domain = self.domain(),
            api = self.api_port,
            ssh_host = if self.is_local() { "127.0.0.1" } else { self.domain() },
            listen = if self.is_local() { "127.0.0.1" } else { "0.0.0.0" },
            ssh = self.ssh_port,
            public = if self.is_local() {
                String::new()
            } else {
                format!("{}.1:{}", self.control, self.http_port())
            },
            http = self.http_port(),
            registry = self.registry_port,
        );
        fs::write(self.env_file(), env)?;
        Ok(instance)
    }

    /// The database's password, made at the first call; it lies in the api's URL.
    pub(super) fn database_password(&self) -> Result<String> {
        let password = random::hex(24)?;
        let make = || format!("postgres://paastech:{password}@postgres/paastech");
        let url = SecretFiles::ensure(self.secrets().join("api"))?.text("database-url", make)?;
        let password = url.strip_prefix("postgres://paastech:").and_then(|rest| rest.split_once('@'));
        Ok(password.context("api/database-url among the secrets: not what this program writes")?.0.to_owned())
    }
}

/// The id of the installation in this folder.
pub(super) fn instance(dir: &Path) -> Result<String> {
    let path = dir.join("secrets/api/instance");
    let text =
        fs::read_to_string(&path).with_context(|| format!("nothing is installed in {}", dir.display()))?;
    Ok(text.trim().to_owned())
}

/// The address of the registry of the installation in this folder.
pub(super) fn registry(dir: &Path) -> Result<String> {
    let text = fs::read_to_string(dir.join(".env"))?;
    let port = text.lines().find_map(|line| line.strip_prefix(REGISTRY)?.strip_prefix('='));
    Ok(format!("127.0.0.1:{}", port.unwrap_or_default()))
}

fn own(path: &Path) -> Result<()> {
    chown(path, Some(UID), Some(UID)).with_context(|| format!("cannot give {} its owner", path.display()))
}

fn own_all(dir: &Path) -> Result<()> {
    own(dir)?;
    fs::read_dir(dir)?.try_for_each(|entry| own(&entry?.path()))
}

fn network(text: &str) -> Result<String, String> {
    let private = |ip: Ipv4Addr| ip.is_private() && ip.octets()[3] == 0;
    match format!("{text}.0").parse() {
        Ok(ip) if private(ip) => Ok(text.to_owned()),
        _ => Err("three numbers of a private network, such as 10.187.1".to_owned()),
    }
}

fn domain(text: &str) -> Result<String, String> {
    let part = |part: &str| {
        !part.is_empty()
            && part.len() <= 63
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if text.len() <= 180 && text.split('.').all(part) {
        Ok(text.to_owned())
    } else {
        Err("a domain in lower case, such as paas.example.org".to_owned())
    }
}
