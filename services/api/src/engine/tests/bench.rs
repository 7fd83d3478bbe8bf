//! An engine with a database, a project and neighbours of its own.

use std::{path::Path, sync::Arc, time::Duration};

use paastech_db::{Database, Tx};
use paastech_proto::{
    git::{git_controller_client::GitControllerClient, git_controller_server},
    pomegranate::{pomegranate_client::PomegranateClient, pomegranate_server},
};
use paastech_registry::TokenKey;
use paastech_runtime::{Clock, Shutdown, secrets::SecretFiles, transport};
use paastech_types::{AccountId, ProjectId};
use time::OffsetDateTime;

use super::{database, neighbours::Neighbours};
use crate::{
    engine::{
        Engine, EngineConfig, Input, NewOperation, Parts, dockerfile::DockerfilePolicy, log::Logs, submit,
    },
    secrets::Vault,
    store::{desired, operation},
};

pub(super) struct Bench {
    pub(super) engine: Engine,
    pub(super) neighbours: Neighbours,
    pub(super) project: ProjectId,
    pub(super) shutdown: Shutdown,
    pub(super) database: database::Database,
    pub(super) dir: tempfile::TempDir,
}

fn registry_key(dir: &Path) -> TokenKey {
    let files = paastech_certs::registry_token(&dir.join("registry-token"), OffsetDateTime::now_utc());
    let files = files.expect("a key");
    paastech_registry::testing::token_key(&files.key, files.certificate)
}

impl Bench {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let database = database::Database::each().await.pop().expect("PostgreSQL, or else SQLite");
        let address = match &database {
            database::Database::Sqlite => format!("sqlite:{}?mode=rwc", dir.path().join("db").display()),
            postgres @ database::Database::Postgres { .. } => postgres.address().expose().to_owned(),
        };
        let db = Database::open(&address, &sqlx::migrate!("./migrations")).await.expect("a database");
        let neighbours = Neighbours::default();
        let git = git_controller_server::GitControllerServer::new(neighbours.clone());
        let pomegranate = pomegranate_server::PomegranateServer::new(neighbours.clone());
        let files = SecretFiles::ensure(dir.path().join("secrets")).expect("secrets");
        let vault = Vault::open(&files).expect("a vault");
        let project = ProjectId::new();
        seed(&db, &vault, project).await;
        let config = EngineConfig { drain_seconds: 0, ..EngineConfig::default() };
        let parts = Parts {
            config,
            db,
            clock: Clock::manual(Clock::system().now_ms()),
            git: GitControllerClient::new(transport::in_process(git)),
            pomegranate: PomegranateClient::new(transport::in_process(pomegranate)),
            vault,
            logs: Logs::new(dir.path().join("logs")).expect("logs"),
            domain: "localhost".to_owned(),
            dockerfile: DockerfilePolicy::All,
            registry: Some(registry_key(dir.path())),
            app_url: Arc::new(|project| format!("http://{project}.user-app.localhost")),
        };
        Self { engine: Engine::new(parts), neighbours, project, shutdown: Shutdown::new(), database, dir }
    }

    /// Stops the engine and leaves no database behind.
    pub(super) async fn end(self) {
        self.shutdown.stop(Duration::from_secs(5)).await;
        self.engine.db.close().await;
        self.database.drop().await;
        drop(self.dir);
    }

    pub(super) fn start(&self) {
        let engine = self.engine.clone();
        let shutdown = self.shutdown.clone();
        self.shutdown.spawn("engine", engine.run(shutdown));
    }

    pub(super) async fn tx(&self) -> Tx {
        self.engine.db.begin().await.expect("a transaction")
    }

    pub(super) async fn submit(&self, input: Input) -> operation::Row {
        let mut tx = self.tx().await;
        let new = NewOperation { project_id: self.project, input, created_by: None };
        let row = submit(&self.engine, &mut tx, new).await.expect("accepted");
        tx.commit().await.expect("committed");
        self.engine.wake();
        row
    }

    pub(super) async fn deploy(&self, commit: &str) -> operation::Row {
        let commit = commit.repeat(40);
        self.submit(Input::DeployCommit { commit, reason: "push".to_owned(), record_only: false }).await
    }

    pub(super) async fn row(&self, row: &operation::Row) -> operation::Row {
        let id = row.id().expect("an id");
        operation::get(&mut self.tx().await, id).await.expect("read").expect("there")
    }

    pub(super) async fn ended(&self, row: &operation::Row) -> operation::Row {
        for _ in 0..600 {
            let now = self.row(row).await;
            if !now.is_open() {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the operation did not end: {:?}", self.row(row).await);
    }

    /// Sets another configuration, as if at that time.
    pub(super) async fn configure(&self, at: i64) {
        let mut tx = self.tx().await;
        sqlx::query(
            "INSERT INTO configuration (project_id, version, created_at) \
             SELECT $1, COALESCE(MAX(version), 0) + 1, $2 FROM configuration WHERE project_id = $3",
        )
        .bind(self.project.to_string())
        .bind(at)
        .bind(self.project.to_string())
        .execute(&mut *tx)
        .await
        .expect("a configuration");
        sqlx::query("UPDATE project SET configuration_version = (SELECT MAX(version) FROM configuration) WHERE id = $1")
            .bind(self.project.to_string())
            .execute(&mut *tx)
            .await
            .expect("set");
        tx.commit().await.expect("committed");
    }

    /// Until this call has been made so often.
    pub(super) async fn called(&self, call: &str, times: usize) {
        for _ in 0..600 {
            if self.neighbours.count(call) >= times {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{call} was not called {times} times");
    }

    pub(super) async fn cancel(&self, row: &operation::Row) {
        let mut tx = self.tx().await;
        assert!(
            crate::engine::cancel(&self.engine, &mut tx, row, "cancelled", "by the user")
                .await
                .expect("asked")
        );
        tx.commit().await.expect("committed");
    }

    pub(super) async fn assert_only_the_active_release_runs(&self) {
        let active = self.project().await.active_release_id.expect("a release");
        let running = self.neighbours.running.lock().expect("running").clone();
        assert_eq!(running.iter().map(|one| &one.release_id).collect::<Vec<_>>(), [&active]);
    }

    pub(super) async fn project(&self) -> desired::Row {
        desired::get(&mut self.tx().await, self.project).await.expect("read").expect("there")
    }
}

async fn seed(db: &Database, vault: &Vault, project: ProjectId) {
    let account = AccountId::new();
    let mut tx = db.begin().await.expect("a transaction");
    sqlx::query(
        "INSERT INTO account (id, email, name, password_hash, role_id, created_at, updated_at) \
         VALUES ($1, 'a@example.org', 'a', '', '00000000-0000-7000-8000-000000000005', 1, 1)",
    )
    .bind(account.to_string())
    .execute(&mut *tx)
    .await
    .expect("an account");
    sqlx::query(
        "INSERT INTO project (id, owner_id, slug, deploy_branch, data_key, desired_state, created_at, updated_at) \
         VALUES ($1, $2, 'p', 'main', $3, 'running', 1, 1)",
    )
    .bind(project.to_string())
    .bind(account.to_string())
    .bind(vault.new_data_key(project).expect("a key").0)
    .execute(&mut *tx)
    .await
    .expect("a project");
    tx.commit().await.expect("committed");
}
