//! What an operator may set.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use paastech_registry::TokenConfig;
use paastech_runtime::{
    MetricsConfig, Neighbour, Secret, TlsConfig,
    telemetry::{LogConfig, TracingConfig},
};
use serde::{Deserialize, Serialize};

use crate::database_url::Parts;
pub use crate::{
    control::BuildsConfig,
    engine::{EngineConfig, dockerfile::DockerfilePolicy},
};

/// The api's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What the installation is for; what would be careless there is refused.
    pub tier: Tier,
    /// How clients reach the API, as the API says of itself; None = where they found it.
    pub public_url: Option<String>,
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// The proxy in front: it alone is believed when it says whom a request comes from (`X-Forwarded-For`).
    pub proxy: Option<IpAddr>,
    /// Where the same routes are served to root and to this process's user, as administrator. None = nowhere.
    pub admin_socket: Option<PathBuf>,
    /// Where the internal gRPC is served, when the SSH server is another process.
    pub control_listen: SocketAddr,
    /// The separate binary's certificate; without one its internal side is on loopback only, and it calls nobody elsewhere.
    pub tls: Option<TlsConfig>,
    /// `sqlite:/path/to/file?mode=rwc` or `postgres://…`. Empty = SQLite in the data directory.
    pub database: Secret,
    /// Logs of operations, the setup token.
    pub data_dir: PathBuf,
    /// Keys; `secrets` in the data directory when absent.
    pub secrets_dir: Option<PathBuf>,
    /// Apps are served at `<project>.user-app.<domain>`.
    pub domain: String,
    /// `http` or `https`: how apps are reached from outside.
    pub app_scheme: AppScheme,
    /// The port apps are reached at from outside; None = the scheme's own.
    pub app_port: Option<u16>,
    /// What people put before `/<project>` to push: host and port of the SSH server.
    pub git: GitAddress,
    /// Who may make an account.
    pub sign_up: SignUp,
    /// Origins of browsers that may call; none by default.
    pub cors_origins: Vec<String>,
    /// How a password is hashed.
    pub password: PasswordConfig,
    /// How often one may call.
    pub limits: Limits,
    /// What one push and one project may use.
    pub quotas: Quotas,
    /// Who may build, and how pushes queue.
    pub builds: BuildsConfig,
    /// How long operations may take.
    pub engine: EngineConfig,
    /// At most this many connections at once.
    pub max_connections: usize,
    /// At most this many of them from one address; a proxy in front is one.
    pub max_connections_per_address: usize,
    /// The git-controller.
    pub git_controller: Neighbour,
    /// Pomegranate.
    pub pomegranate: Neighbour,
    /// The tokens that open the installation's registry of images for Pomegranate. None = there is none of its own.
    pub registry: Option<TokenConfig>,
    /// The log.
    pub log: LogConfig,
    /// Where the separate binary serves its metrics.
    pub metrics: MetricsConfig,
    /// Where its traces go.
    pub tracing: TracingConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tier: Tier::Development,
            public_url: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            proxy: None,
            admin_socket: None,
            control_listen: SocketAddr::from(([127, 0, 0, 1], 7003)),
            tls: None,
            database: Secret::default(),
            data_dir: PathBuf::from("/var/lib/paastech"),
            secrets_dir: None,
            domain: "localhost".to_owned(),
            app_scheme: AppScheme::Http,
            app_port: None,
            git: GitAddress::default(),
            sign_up: SignUp::Closed,
            cors_origins: Vec::new(),
            password: PasswordConfig::default(),
            limits: Limits::default(),
            quotas: Quotas::default(),
            builds: BuildsConfig::default(),
            engine: EngineConfig::default(),
            max_connections: 1024,
            max_connections_per_address: 512,
            git_controller: Neighbour::InProcess,
            pomegranate: Neighbour::InProcess,
            registry: None,
            log: LogConfig::default(),
            metrics: MetricsConfig::default(),
            tracing: TracingConfig::default(),
        }
    }
}

impl Config {
    /// What the tier does not allow, by its key.
    #[must_use]
    pub fn objection(&self) -> Option<String> {
        let public = matches!(self.tier, Tier::Staging | Tier::Production);
        let plain_api = self.public_url.as_ref().is_some_and(|url| !url.starts_with("https://"));
        let objections = [
            (
                public && self.sign_up == SignUp::Open,
                "sign_up: nobody watches who signs up: `closed` or `invite`",
            ),
            (public && self.app_scheme == AppScheme::Http, "app_scheme: apps are served over `https`"),
            (public && plain_api, "public_url: passwords and tokens go over `https://`"),
            (
                public && self.is_known_password(),
                "database: its password is known or short: 16 random letters",
            ),
        ];
        let (_, why) = objections.into_iter().find(|(applies, _)| *applies)?;
        Some(format!("{why} in the {} tier", self.tier))
    }

    /// Whether the database is on the network, with a password that a stranger would try.
    fn is_known_password(&self) -> bool {
        let url = Parts::of(self.database.expose()).filter(|url| url.scheme.starts_with("postgres"));
        url.and_then(|url| url.password_length()).is_some_and(|length| length < 16)
    }

    /// The folder of the keys.
    #[must_use]
    pub fn secrets_dir(&self) -> PathBuf {
        self.secrets_dir.clone().unwrap_or_else(|| self.data_dir.join("secrets"))
    }

    /// The database's address.
    #[must_use]
    pub fn database_url(&self) -> Secret {
        if self.database.expose().is_empty() {
            return Secret::new(format!("sqlite:{}?mode=rwc", self.data_dir.join("paastech.db").display()));
        }
        self.database.clone()
    }

    /// The file of a database that is one.
    #[must_use]
    pub fn database_file(&self) -> Option<PathBuf> {
        let url = self.database_url();
        let path = url.expose().strip_prefix("sqlite:")?;
        Some(path.split_once('?').map_or(path, |(path, _)| path).trim_start_matches("//").into())
    }
}

/// What an installation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Trying it on one's own machine.
    Development,
    /// Tests.
    Test,
    /// What production will be.
    Staging,
    /// For users.
    Production,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Development => "development",
            Self::Test => "test",
            Self::Staging => "staging",
            Self::Production => "production",
        })
    }
}

/// How apps are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppScheme {
    /// Plain.
    Http,
    /// With certificates.
    Https,
}

/// Who may make an account by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignUp {
    /// Nobody: administrators make accounts, or invitations.
    Closed,
    /// Who has an invitation, which every account may make.
    Invite,
    /// Everybody.
    Open,
}

/// Where people push to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GitAddress {
    /// The host's name or address.
    pub host: String,
    /// The SSH server's port.
    pub port: u16,
}

impl Default for GitAddress {
    fn default() -> Self {
        Self { host: "localhost".to_owned(), port: 2222 }
    }
}

/// Argon2id's cost. The default is OWASP's floor, about 26 ms.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PasswordConfig {
    /// Memory of one hash.
    pub memory_kib: u32,
    /// Passes over it.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
    /// How many may wait for a core before the answer is 503.
    pub queue: usize,
}

impl Default for PasswordConfig {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, iterations: 2, parallelism: 1, queue: 64 }
    }
}

/// `burst` calls, refilled evenly over `seconds`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Calls that may come at once.
    pub burst: u32,
    /// Time in which all of them come back.
    pub seconds: u64,
}

impl Rate {
    /// Time in which all come back.
    #[must_use]
    pub fn window(self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// How often one may call before 429.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Log-ins to one account from one address.
    pub login: Rate,
    /// Log-ins from one address.
    pub login_address: Rate,
    /// Sign-ups and set-ups from one address.
    pub register: Rate,
    /// Calls of nobody known, from one address.
    pub anonymous: Rate,
    /// Calls of one account.
    pub account: Rate,
    /// Deployments of one project.
    pub deploy: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            login: Rate { burst: 5, seconds: 900 },
            login_address: Rate { burst: 20, seconds: 60 },
            register: Rate { burst: 5, seconds: 3600 },
            anonymous: Rate { burst: 60, seconds: 60 },
            account: Rate { burst: 600, seconds: 60 },
            deploy: Rate { burst: 30, seconds: 3600 },
        }
    }
}

/// What one push and one project may use.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quotas {
    /// One pack.
    pub max_push_bytes: u64,
    /// One tree, unpacked.
    pub max_source_bytes: u64,
    /// Projects of one account.
    pub max_projects: u32,
    /// Variables of one project.
    pub max_variables: u32,
    /// SSH keys of one account.
    pub max_ssh_keys: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            max_push_bytes: 512 << 20,
            max_source_bytes: 1 << 30,
            max_projects: 100,
            max_variables: 500,
            max_ssh_keys: 50,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_refuses_what_is_careless_there_and_names_it() {
        let careful = Config {
            tier: Tier::Production,
            app_scheme: AppScheme::Https,
            public_url: Some("https://api.example.org".to_owned()),
            database: Secret::new("postgres://paastech:0123456789abcdef@db/paastech"),
            ..Config::default()
        };
        assert_eq!(careful.objection(), None);
        let change = |change: &dyn Fn(&mut Config)| {
            let mut config = careful.clone();
            change(&mut config);
            let why = config.objection().expect("refused");
            config.tier = Tier::Test;
            assert_eq!(config.objection(), None, "{why}");
            why
        };
        assert!(change(&|config| config.sign_up = SignUp::Open).starts_with("sign_up: "));
        assert!(change(&|config| config.app_scheme = AppScheme::Http).starts_with("app_scheme: "));
        assert!(
            change(&|config| config.public_url = Some("http://a".to_owned())).starts_with("public_url: ")
        );
        for url in [
            "postgres://p:postgres@db/p",
            "postgresql://p:postgres@db/p",
            "postgres://p:postgres@db/p?options=0123456789abcdef@x",
            "postgres://p:0123456789abcdef@db/p?password=postgres",
        ] {
            let why = change(&|config| config.database = Secret::new(url));
            assert!(why.starts_with("database: ") && !why.contains("postgres"), "{why}");
        }
    }
}
