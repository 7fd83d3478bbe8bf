//! Putting the api together, and running it.

use std::{
    fs::{DirBuilder, File},
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

use anyhow::Context as _;
use paastech_db::Database;
use paastech_proto::{
    control::control_server::ControlServer, git::git_controller_client::GitControllerClient,
    pomegranate::pomegranate_client::PomegranateClient,
};
use paastech_registry::TokenKey;
use paastech_runtime::{Clock, Neighbour, Peer, SecretFiles, Shutdown, Tls, Transport, transport};
use rustix::fs::{FlockOperation, flock};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{self, App, State},
    auth::{limit::Limiters, password::Passwords, token::SigningKey},
    config::Config,
    control::ControlService,
    engine::{self, Engine},
    http::{self, Listener},
    metrics::{self, METRICS},
    repositories,
    secrets::Vault,
    setup, store,
};

/// The services that the api calls.
#[derive(Clone)]
pub struct Neighbours {
    /// Repositories.
    pub git: GitControllerClient<Transport>,
    /// Builds and releases.
    pub pomegranate: PomegranateClient<Transport>,
}

impl Neighbours {
    /// Both, where the configuration says they are.
    ///
    /// # Errors
    /// One has no address, or one that the certificates do not fit.
    pub fn remote(config: &Config, tls: Option<&Arc<Tls>>) -> anyhow::Result<Self> {
        let remote = |key: &str, neighbour: &Neighbour, peer: Peer| match neighbour {
            Neighbour::Url(uri) => transport::remote(uri, tls, peer).with_context(|| key.to_owned()),
            Neighbour::InProcess => anyhow::bail!("{key}: this process holds the api alone: give an address"),
        };
        let git = remote("git_controller", &config.git_controller, Peer::GitController)?;
        let pomegranate = remote("pomegranate", &config.pomegranate, Peer::Pomegranate)?;
        Ok(Self { git: GitControllerClient::new(git), pomegranate: PomegranateClient::new(pomegranate) })
    }
}

/// The api, bound and migrated, not yet serving.
pub struct Service {
    app: App,
    listener: Listener,
    admin: Option<Listener>,
    addr: SocketAddr,
}

impl Service {
    /// Opens the database, brings it up to date, makes the keys and the setup token at the first start, and binds.
    ///
    /// # Errors
    /// Whatever of that fails, by name.
    pub async fn build(config: Config, neighbours: Neighbours, clock: Clock) -> anyhow::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&config.data_dir)
            .with_context(|| config.data_dir.display().to_string())?;
        LazyLock::force(&METRICS);
        let listener = Listener::tcp(config.listen).await?;
        let addr = listener.addr()?;
        let admin = match &config.admin_socket {
            Some(path) => Some(Listener::unix(path).await?),
            None => None,
        };
        let secrets = SecretFiles::ensure(config.secrets_dir())?;
        let lock = lock(&config)?;
        let db = open_database(&config).await?;
        setup::ensure_token(&db, &config.data_dir, &clock).await?;
        let vault = Vault::open(&secrets)?;
        let engine = Engine::new(engine::Parts {
            config: config.engine.clone(),
            db: db.clone(),
            clock: clock.clone(),
            git: neighbours.git.clone(),
            pomegranate: neighbours.pomegranate.clone(),
            vault: vault.clone(),
            logs: engine::log::Logs::new(config.data_dir.join("logs"))?,
            domain: config.domain.clone(),
            dockerfile: config.builds.dockerfile,
            registry: config.registry.clone().map(TokenKey::open).transpose()?,
            app_url: {
                let config = config.clone();
                Arc::new(move |project| app::app_url(&config, project))
            },
        });
        let app = App::new(State {
            signing_key: SigningKey::open(&secrets).context("secrets/jwt")?,
            passwords: Passwords::new(&config.password).map_err(anyhow::Error::msg)?,
            limiters: Limiters::new(&config.limits),
            stopping: CancellationToken::new(),
            _lock: lock,
            git: neighbours.git,
            pomegranate: neighbours.pomegranate,
            config,
            db,
            clock,
            vault,
            engine,
        });
        Ok(Self { app, listener, admin, addr })
    }

    /// Where HTTP is served.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where administrators on this host are served without a log-in.
    #[must_use]
    pub fn admin_socket(&self) -> Option<&Path> {
        self.app.config.admin_socket.as_deref()
    }

    /// The internal server for the SSH server.
    #[must_use]
    pub fn control_server(
        &self,
    ) -> ControlServer<impl paastech_proto::control::control_server::Control + Clone> {
        ControlServer::new(ControlService {
            engine: self.app.engine.clone(),
            builds: self.app.config.builds.clone(),
            quotas: self.app.config.quotas.clone(),
            stopping: self.app.stopping.clone(),
        })
    }

    /// Serves HTTP and runs operations until the drain.
    pub fn run(self, shutdown: &Shutdown) {
        let Self { app, listener, admin, .. } = self;
        let router = http::router(app.clone());
        let admission = http::Admission {
            all: app.config.max_connections,
            of_one_address: app.config.max_connections_per_address,
            proxy: app.config.proxy,
        };
        if let Some(admin) = admin {
            shutdown.spawn("admin socket", admin.run(router.clone(), admission, shutdown.clone()));
        }
        shutdown.spawn("http", listener.run(router, admission, shutdown.clone()));
        shutdown.spawn("operations", app.engine.clone().run(shutdown.clone()));
        shutdown.spawn("scan of refs", app.engine.clone().scan(shutdown.clone()));
        shutdown.spawn("nightly", engine::nightly::run(app.engine.clone(), shutdown.clone()));
        shutdown.spawn("repositories", repositories::heal(app.clone(), shutdown.clone()));
        shutdown.spawn("counts", metrics::refresh(app.clone(), shutdown.clone()));
        shutdown.spawn("sweep", sweep(app.clone(), shutdown.clone()));
        let draining = shutdown.draining();
        shutdown.track(async move {
            draining.await;
            app.stopping.cancel();
        });
    }
}

/// Migrations are part of the program.
pub(crate) static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// The number of the newest one.
pub(crate) fn newest_schema() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// The database, brought up to date.
pub(crate) async fn open_database(config: &Config) -> anyhow::Result<Database> {
    let url = config.database_url();
    Database::open(url.expose(), &MIGRATOR).await.context("the database cannot be opened")
}

/// A database in a file has one api: it takes every claim in there for a dead process's.
fn lock(config: &Config) -> anyhow::Result<File> {
    let alone = config.database_file().is_some();
    let how =
        if alone { FlockOperation::NonBlockingLockExclusive } else { FlockOperation::NonBlockingLockShared };
    lock_as(config, how)
}

/// Held as long as no api may use the data directory.
pub(crate) fn lock_out(config: &Config) -> anyhow::Result<File> {
    lock_as(config, FlockOperation::NonBlockingLockExclusive)
}

fn lock_as(config: &Config, how: FlockOperation) -> anyhow::Result<File> {
    let path = config.data_dir.join("api.lock");
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    if flock(&file, how).is_err() {
        anyhow::bail!("another api uses the data directory {}: stop it first", config.data_dir.display());
    }
    Ok(file)
}

/// How long an invitation that has expired is still listed.
const INVITATION_SHOWN_MS: i64 = 30 * 24 * 3600 * 1000;

/// Forgets what has expired, each minute.
async fn sweep(app: App, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(Duration::from_secs(60));
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = shutdown.draining() => return Ok(()),
        }
        app.limiters.sweep();
        if let Err(error) = sweep_rows(&app).await {
            tracing::warn!(%error, "what has expired cannot be removed; it is tried again");
        }
    }
}

async fn sweep_rows(app: &App) -> Result<(), paastech_db::DbError> {
    let mut tx = app.db.begin().await?;
    let now = app.clock.now_ms();
    store::idempotency::sweep(&mut tx, now).await?;
    store::session::sweep(&mut tx, now).await?;
    store::refresh_token::sweep(&mut tx, now).await?;
    store::invitation::sweep(&mut tx, now - INVITATION_SHOWN_MS).await?;
    tx.commit().await?;
    Ok(())
}
