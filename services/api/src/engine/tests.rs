//! The engine against a real database, with neighbours that do as the test says.

#[path = "../../tests/it/database.rs"]
mod database;
mod neighbours;

use std::{path::Path, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use paastech_db::{Database, Tx};
use paastech_proto::{
    git::{git_controller_client::GitControllerClient, git_controller_server},
    pomegranate::{pomegranate_client::PomegranateClient, pomegranate_server},
};
use paastech_registry::TokenKey;
use paastech_runtime::{Clock, Shutdown, secrets::SecretFiles, transport};
use paastech_types::{AccountId, ProjectId};
use time::OffsetDateTime;

use self::neighbours::{Neighbours, container};
use super::{
    Engine, EngineConfig, Input, NewOperation, Parts, dockerfile::DockerfilePolicy, log::Logs, submit,
};
use crate::{
    secrets::Vault,
    store::{desired, operation, release},
};

struct Bench {
    engine: Engine,
    neighbours: Neighbours,
    project: ProjectId,
    shutdown: Shutdown,
    database: database::Database,
    dir: tempfile::TempDir,
}

fn registry_key(dir: &Path) -> TokenKey {
    let files = paastech_certs::registry_token(&dir.join("registry-token"), OffsetDateTime::now_utc());
    let files = files.expect("a key");
    paastech_registry::testing::token_key(&files.key, files.certificate)
}

impl Bench {
    async fn new() -> Self {
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
    async fn end(self) {
        self.shutdown.stop(Duration::from_secs(5)).await;
        self.engine.db.close().await;
        self.database.drop().await;
        drop(self.dir);
    }

    fn start(&self) {
        let engine = self.engine.clone();
        let shutdown = self.shutdown.clone();
        self.shutdown.spawn("engine", engine.run(shutdown));
    }

    async fn tx(&self) -> Tx {
        self.engine.db.begin().await.expect("a transaction")
    }

    async fn submit(&self, input: Input) -> operation::Row {
        let mut tx = self.tx().await;
        let new = NewOperation { project_id: self.project, input, created_by: None };
        let row = submit(&self.engine, &mut tx, new).await.expect("accepted");
        tx.commit().await.expect("committed");
        self.engine.wake();
        row
    }

    async fn deploy(&self, commit: &str) -> operation::Row {
        let commit = commit.repeat(40);
        self.submit(Input::DeployCommit { commit, reason: "push".to_owned(), record_only: false }).await
    }

    async fn row(&self, row: &operation::Row) -> operation::Row {
        let id = row.id().expect("an id");
        operation::get(&mut self.tx().await, id).await.expect("read").expect("there")
    }

    async fn ended(&self, row: &operation::Row) -> operation::Row {
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
    async fn configure(&self, at: i64) {
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
    async fn called(&self, call: &str, times: usize) {
        for _ in 0..600 {
            if self.neighbours.count(call) >= times {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{call} was not called {times} times");
    }

    async fn cancel(&self, row: &operation::Row) {
        let mut tx = self.tx().await;
        assert!(super::cancel(&self.engine, &mut tx, row, "cancelled", "by the user").await.expect("asked"));
        tx.commit().await.expect("committed");
    }

    async fn assert_only_the_active_release_runs(&self) {
        let active = self.project().await.active_release_id.expect("a release");
        let running = self.neighbours.running.lock().expect("running").clone();
        assert_eq!(running.iter().map(|one| &one.release_id).collect::<Vec<_>>(), [&active]);
    }

    async fn project(&self) -> desired::Row {
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

#[tokio::test]
async fn a_commit_is_built_released_and_made_active() {
    let bench = Bench::new().await;
    bench.start();
    let ended = bench.ended(&bench.deploy("a").await).await;
    assert_eq!((ended.state.as_str(), ended.error_text.as_deref()), ("done", None));
    assert_eq!(bench.project().await.active_release_id, ended.release_id);
    let lines = bench.engine.logs.read(ended.id().expect("an id"), 1).await.expect("a log");
    assert!(lines.iter().any(|line| line.text == "step 1"), "{lines:?}");
    assert_eq!(lines.last().expect("a last line").text, "Starting release v1", "{lines:?}");
    bench.end().await;
}

#[tokio::test]
async fn the_same_tree_is_built_once() {
    let bench = Bench::new().await;
    bench.start();
    bench.ended(&bench.deploy("a").await).await;
    bench.ended(&bench.deploy("b").await).await;
    assert_eq!(bench.neighbours.count("start_build"), 1);
    let releases = release::list(&mut bench.tx().await, bench.project, None, 10).await.expect("releases");
    assert_eq!(releases.iter().map(|release| release.seq).collect::<Vec<_>>(), [2, 1]);
    bench.end().await;
}

#[tokio::test]
async fn a_rollback_restores_the_configuration_for_what_comes_next() {
    let bench = Bench::new().await;
    bench.start();
    let first = bench.ended(&bench.deploy("a").await).await;
    bench.configure(1).await;
    bench.ended(&bench.submit(Input::Reconfigure).await).await;
    assert_eq!(bench.project().await.configuration_version, 1);
    let release = first.release_id.expect("a release");
    let back = Input::DeployRelease { release, keep_configuration: false };
    assert_eq!(bench.ended(&bench.submit(back.clone()).await).await.state, "done");
    assert_eq!(bench.project().await.configuration_version, 0);
    bench.configure(i64::MAX).await;
    assert_eq!(bench.ended(&bench.submit(back).await).await.state, "done");
    assert_eq!(bench.project().await.configuration_version, 2, "what was set meanwhile stays");
    bench.end().await;
}

#[tokio::test]
async fn an_app_that_never_answers_leaves_the_old_release_active() {
    let bench = Bench::new().await;
    bench.start();
    bench.ended(&bench.deploy("a").await).await;
    let before = bench.project().await.active_release_id;
    *bench.neighbours.never_ready.lock().expect("never_ready") = true;
    let ended = bench.ended(&bench.deploy("b").await).await;
    assert_eq!((ended.state.as_str(), ended.error_code.as_deref()), ("failed", Some("not_ready")));
    assert_eq!(bench.project().await.active_release_id, before);
    assert_eq!(bench.neighbours.count("remove_release"), 1, "the new containers are taken back");
    let lines = bench.engine.logs.read(ended.id().expect("an id"), 1).await.expect("a log");
    assert!(lines.iter().any(|line| line.text.contains("Traceback")), "{lines:?}");
    bench.end().await;
}

#[tokio::test]
async fn an_app_that_keeps_ending_after_the_switch_fails_and_the_old_release_stays() {
    let bench = Bench::new().await;
    let old = "00000000-0000-7000-8000-00000000000a";
    bench.neighbours.running.lock().expect("running").push(container(old));
    *bench.neighbours.keeps_ending.lock().expect("keeps_ending") = true;
    bench.start();
    let ended = bench.ended(&bench.deploy("a").await).await;
    assert_eq!((ended.state.as_str(), ended.error_code.as_deref()), ("failed", Some("not_ready")));
    assert!(ended.error_text.is_some_and(|text| text.ends_with("exited with code 4")));
    assert_eq!(bench.project().await.active_release_id, ended.release_id, "what is committed stays wanted");
    assert_eq!(bench.neighbours.count("remove_release"), 0);
    *bench.neighbours.keeps_ending.lock().expect("keeps_ending") = false;
    assert_eq!(bench.ended(&bench.deploy("b").await).await.state, "done", "the next one mends it");
    bench.assert_only_the_active_release_runs().await;
    bench.end().await;
}

#[tokio::test]
async fn an_old_release_stays_while_the_new_one_has_no_route() {
    let bench = Bench::new().await;
    let old = "00000000-0000-7000-8000-00000000000a";
    bench.neighbours.running.lock().expect("running").push(container(old));
    // Confirmed once, and dead when the old one is about to go.
    *bench.neighbours.unrouted.lock().expect("unrouted") = Some((2, 3));
    bench.start();
    assert_eq!(bench.ended(&bench.deploy("a").await).await.state, "done");
    let calls = bench.neighbours.calls.lock().expect("calls").clone();
    let removed = calls.iter().position(|call| call == "remove_release").expect("it goes in the end");
    let confirms = calls[..removed].iter().filter(|call| *call == "confirm_release").count();
    assert_eq!(confirms, 5, "{calls:?}");
    bench.assert_only_the_active_release_runs().await;
    bench.end().await;
}

#[tokio::test]
async fn a_failed_build_makes_no_release() {
    let bench = Bench::new().await;
    *bench.neighbours.build_fails.lock().expect("build_fails") = true;
    bench.start();
    let ended = bench.ended(&bench.deploy("a").await).await;
    assert_eq!(ended.error_code.as_deref(), Some("build_failed"));
    assert!(
        release::list(&mut bench.tx().await, bench.project, None, 10).await.expect("releases").is_empty()
    );
    bench.end().await;
}

#[tokio::test]
async fn every_call_may_fail_for_a_while() {
    for call in [
        "archive",
        "put_source",
        "start_build",
        "follow_build",
        "start_release",
        "await_release",
        "open_gate",
        "confirm_release",
    ] {
        let bench = Bench::new().await;
        *bench.neighbours.failing.lock().expect("failing") = Some((call, 2));
        bench.start();
        let ended = bench.ended(&bench.deploy("a").await).await;
        assert_eq!(ended.state, "done", "{call}: {:?}", ended.error_text);
        assert!(bench.neighbours.count(call) > 2, "{call}");
        bench.end().await;
    }
}

#[tokio::test]
async fn whoever_claims_next_goes_on_where_a_killed_process_was() {
    let bench = Bench::new().await;
    let row = bench.deploy("a").await;
    let claimed = bench.engine.claim().await.expect("claims").expect("a row");
    assert_eq!(claimed.id, row.id);
    assert!(bench.engine.claim().await.expect("claims").is_none(), "a claimed operation is nobody else's");
    bench.start();
    let ended = bench.ended(&row).await;
    assert_eq!(ended.state, "done");
    assert!(ended.fence > claimed.fence);
    bench.end().await;
}

#[tokio::test]
async fn a_stale_holder_records_nothing() {
    let bench = Bench::new().await;
    let row = bench.deploy("a").await;
    let claimed = bench.engine.claim().await.expect("claims").expect("a row");
    let stale =
        operation::Claim { id: row.id().expect("an id"), holder: "another".to_owned(), fence: claimed.fence };
    let old = operation::Claim {
        holder: bench.engine.holder.to_string(),
        fence: claimed.fence - 1,
        ..stale.clone()
    };
    for claim in [stale, old] {
        let mut tx = bench.tx().await;
        let next = operation::Progress { state: "running", step: "drain", step_data: "{}", release_id: None };
        assert!(!operation::advance(&mut tx, &claim, next).await.expect("runs"));
        assert!(!operation::finish(&mut tx, &claim, operation::End::Done, None, 1).await.expect("runs"));
        assert_eq!(operation::fence(&mut tx, &claim).await.expect("runs"), None);
    }
    bench.end().await;
}

#[tokio::test]
async fn the_newest_of_three_waits_and_the_one_before_it_is_superseded() {
    let bench = Bench::new().await;
    let running = bench.deploy("a").await;
    bench.engine.claim().await.expect("claims").expect("a row");
    let second = bench.deploy("b").await;
    let third = bench.deploy("c").await;
    assert_eq!(bench.row(&second).await.state, "superseded");
    assert_eq!(bench.row(&third).await.state, "queued");
    assert!(bench.engine.claim().await.expect("claims").is_none(), "one runs per project");
    bench.start();
    bench.ended(&running).await;
    assert_eq!(bench.ended(&third).await.state, "done");
    bench.end().await;
}

#[tokio::test]
async fn a_cancelled_deployment_is_undone() {
    let bench = Bench::new().await;
    *bench.neighbours.failing.lock().expect("failing") = Some(("await_release", 1000));
    bench.start();
    let row = bench.deploy("a").await;
    bench.called("await_release", 1).await;
    bench.cancel(&row).await;
    assert_eq!(bench.ended(&row).await.state, "cancelled");
    assert_eq!(bench.neighbours.count("remove_release"), 1);
    assert_eq!(bench.project().await.active_release_id, None);
    bench.end().await;
}

#[tokio::test]
async fn a_lost_hook_call_is_healed_by_the_scan_once() {
    let bench = Bench::new().await;
    super::ref_scan::pass(&bench.engine).await.expect("scans");
    super::ref_scan::pass(&bench.engine).await.expect("scans");
    let open = operation::list_open(&mut bench.tx().await, bench.project, "deploy").await.expect("rows");
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].commit_oid.as_deref(), Some("c".repeat(40).as_str()));
    assert_eq!(bench.project().await.head_oid.as_deref(), Some("c".repeat(40).as_str()));
    bench.end().await;
}

#[tokio::test]
async fn a_deleted_project_is_buried_and_stays_so() {
    let bench = Bench::new().await;
    bench.start();
    bench.ended(&bench.deploy("a").await).await;
    let mut tx = bench.tx().await;
    desired::set_state(&mut tx, bench.project, "deleted", 1).await.expect("set");
    tx.commit().await.expect("committed");
    let ended = bench.ended(&bench.submit(Input::Delete).await).await;
    assert_eq!(ended.state, "done", "{:?}", ended.error_text);
    assert_eq!(bench.neighbours.count("remove_project"), 1);
    assert_eq!(bench.neighbours.count("delete_repository"), 1);
    let late = bench.ended(&bench.deploy("b").await).await;
    assert_ne!(late.state, "done", "nothing is resurrected");
    assert_eq!(bench.project().await.active_release_id, None);
    bench.end().await;
}

#[tokio::test]
async fn a_deletion_outlives_whatever_comes_after_it_and_its_own_failure() {
    let bench = Bench::new().await;
    let mut tx = bench.tx().await;
    let before = desired::get(&mut tx, bench.project).await.expect("read").expect("there");
    desired::set_state(&mut tx, bench.project, "deleted", 1).await.expect("set");
    tx.commit().await.expect("committed");
    let delete = bench.submit(Input::Delete).await;
    let mut tx = bench.tx().await;
    let late = super::on_head(&bench.engine, &mut tx, &before, &"c".repeat(40), None).await.expect("runs");
    assert!(late.is_none(), "nothing is deployed any more");
    assert!(!super::cancel(&bench.engine, &mut tx, &delete, "cancelled", "no").await.expect("runs"));
    let new = NewOperation { project_id: bench.project, input: Input::Stop, created_by: None };
    assert!(submit(&bench.engine, &mut tx, new).await.is_err());
    drop(tx);
    assert_eq!(bench.row(&delete).await.state, "queued");

    let claimed = bench.engine.claim().await.expect("claims").expect("a row");
    let claim = operation::Claim {
        id: delete.id().expect("an id"),
        holder: bench.engine.holder.to_string(),
        fence: claimed.fence,
    };
    let mut tx = bench.tx().await;
    assert!(operation::finish(&mut tx, &claim, operation::End::Failed, None, 1).await.expect("runs"));
    tx.commit().await.expect("committed");
    super::ref_scan::pass(&bench.engine).await.expect("scans");
    super::ref_scan::pass(&bench.engine).await.expect("scans");
    let open = operation::list_open(&mut bench.tx().await, bench.project, "deploy").await.expect("rows");
    assert_eq!(open.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>(), ["delete"]);
    bench.start();
    assert_eq!(bench.ended(&open[0]).await.state, "done");
    super::ref_scan::pass(&bench.engine).await.expect("scans");
    let open = operation::list_open(&mut bench.tx().await, bench.project, "deploy").await.expect("rows");
    assert!(open.is_empty(), "it is deleted once");
    bench.end().await;
}

#[tokio::test]
async fn a_push_that_waits_is_deployed_whatever_else_is_asked_for() {
    let bench = Bench::new().await;
    bench.deploy("a").await;
    bench.engine.claim().await.expect("claims").expect("a row");
    let push = bench.deploy("b").await;
    for input in [Input::Reconfigure, Input::Start] {
        assert_eq!(bench.submit(input).await.id, push.id, "it brings this about, too");
    }
    let mut tx = bench.tx().await;
    let waiting = super::in_the_way(&mut tx, bench.project, &Input::Stop).await.expect("read");
    assert_eq!(waiting.expect("stopping would lose it").id, push.id);
    drop(tx);
    assert_eq!(bench.row(&push).await.state, "queued");
    bench.end().await;
}

#[tokio::test]
async fn a_head_that_the_scan_has_seen_is_deployed_once() {
    let bench = Bench::new().await;
    let commit = "c".repeat(40);
    let mut tx = bench.tx().await;
    let project = desired::get(&mut tx, bench.project).await.expect("read").expect("there");
    let scan = super::on_head(&bench.engine, &mut tx, &project, &commit, None).await.expect("runs");
    assert!(scan.is_some());
    let project = desired::get(&mut tx, bench.project).await.expect("read").expect("there");
    let push = super::on_head(&bench.engine, &mut tx, &project, &commit, None).await.expect("runs");
    assert!(push.is_none(), "the push's own word comes second");
    drop(tx);
    bench.end().await;
}

#[tokio::test]
async fn a_push_that_is_only_recorded_pushes_nothing_aside() {
    let bench = Bench::new().await;
    bench.deploy("a").await;
    bench.engine.claim().await.expect("claims").expect("a row");
    let stop = bench.submit(Input::Stop).await;
    let mut tx = bench.tx().await;
    sqlx::query("UPDATE project SET auto_deploy = 0").execute(&mut *tx).await.expect("set");
    let project = desired::get(&mut tx, bench.project).await.expect("read").expect("there");
    let commit = "c".repeat(40);
    let record = super::on_head(&bench.engine, &mut tx, &project, &commit, None).await.expect("runs");
    assert!(record.is_none(), "the scan does it later");
    let reason = super::submit::reason("cancelled", "by the user");
    let (id, end) = (stop.id().expect("an id"), operation::End::Cancelled);
    assert!(operation::finish_queued(&mut tx, id, end, &reason, 1).await.expect("runs"));
    let record = super::on_head(&bench.engine, &mut tx, &project, &commit, None).await.expect("runs");
    let record = record.expect("now nothing waits");
    for input in [Input::Stop, Input::Start, Input::Reconfigure] {
        let waiting = super::in_the_way(&mut tx, bench.project, &input).await.expect("read");
        assert_eq!(waiting.expect("would lose it").id, record.id);
    }
    drop(tx);
    bench.end().await;
}

#[tokio::test]
async fn submits_at_once_are_all_accepted_while_others_are_claimed() {
    let bench = Bench::new().await;
    bench.start();
    for _ in 0..10 {
        let at_once = (0..8).map(|_| {
            bench.submit(Input::DeployCommit {
                commit: "a".repeat(40),
                reason: "deployment".to_owned(),
                record_only: false,
            })
        });
        futures_util::future::join_all(at_once).await;
    }
    let newest = bench.deploy("b").await;
    assert_eq!(bench.ended(&newest).await.state, "done");
    bench.end().await;
}

#[tokio::test]
async fn a_recorded_release_that_is_no_longer_the_newest_is_deployed_under_a_new_number() {
    let bench = Bench::new().await;
    bench.start();
    let record = Input::DeployCommit { commit: "a".repeat(40), reason: "push".to_owned(), record_only: true };
    let recorded = bench.ended(&bench.submit(record).await).await;
    assert!(!recorded.made_live(), "nothing is served by it");
    let first = recorded.release_id.clone().expect("the release it made");
    let deployed = bench.ended(&bench.deploy("b").await).await;
    assert!(deployed.made_live());
    let back = Input::DeployRelease { release: first.clone(), keep_configuration: false };
    let back = bench.ended(&bench.submit(back).await).await;
    assert_eq!(back.state, "done");
    let mut tx = bench.tx().await;
    let active = back.release_id.expect("a release");
    let active = release::get(&mut tx, bench.project, &active).await.expect("read").expect("there");
    assert_eq!((active.seq, active.rollback_of), (3, Some(first)));
    drop(tx);
    bench.end().await;
}

#[tokio::test]
async fn an_undo_that_never_succeeds_ends_in_quarantine() {
    let bench = Bench::new().await;
    *bench.neighbours.never_ready.lock().expect("never_ready") = true;
    *bench.neighbours.broken.lock().expect("broken") = Some("remove_release");
    bench.start();
    let row = bench.deploy("a").await;
    bench.called("remove_release", 2).await;
    bench.engine.clock.advance_ms(2 * 3_600_000);
    assert_eq!(bench.ended(&row).await.state, "quarantined");
    bench.end().await;
}

#[tokio::test]
async fn clean_restarts_are_no_failed_attempts() {
    let bench = Bench::new().await;
    let row = bench.deploy("a").await;
    for _ in 0..10 {
        let claimed = bench.engine.claim().await.expect("claims").expect("a row");
        let claim = operation::Claim {
            id: row.id().expect("an id"),
            holder: bench.engine.holder.to_string(),
            fence: claimed.fence,
        };
        super::run::let_go(&bench.engine, &claim).await;
    }
    bench.start();
    assert_eq!(bench.ended(&row).await.state, "done");
    bench.end().await;
}

#[tokio::test]
async fn the_commit_point_and_its_record_are_one_transaction() {
    let bench = Bench::new().await;
    let accepted = bench.deploy("a").await;
    let row = bench.engine.claim().await.expect("claims").expect("a row");
    let id = accepted.id().expect("an id");
    let mut context = super::step::Context {
        engine: &bench.engine,
        project: bench.project,
        claim: operation::Claim { id, holder: bench.engine.holder.to_string(), fence: row.fence },
        log: bench.engine.logs.writer(id).await.expect("a log"),
        said: Vec::new(),
        release: None,
        row,
    };
    loop {
        match super::deploy::step(&mut context).await {
            Ok(super::step::Next::Go(step)) => step.clone_into(&mut context.row.step),
            Ok(super::step::Next::Recorded(_)) => break,
            _ => panic!("step {} goes on", context.row.step),
        }
    }
    // The process dies here: whoever comes next must not take the operation for one that can be undone.
    assert_eq!(bench.project().await.active_release_id, context.release);
    assert_eq!(bench.row(&accepted).await.step, "gate");
    bench.end().await;
}

#[tokio::test]
async fn a_committed_operation_that_cannot_finish_makes_way() {
    let bench = Bench::new().await;
    bench.start();
    *bench.neighbours.unrouted.lock().expect("unrouted") = Some((1, 1_000_000));
    let cancelled = bench.deploy("a").await;
    bench.called("confirm_release", 1).await;
    bench.cancel(&cancelled).await;
    let ended = bench.ended(&cancelled).await;
    assert_eq!((ended.state.as_str(), ended.error_code.as_deref()), ("failed", Some("unfinished")));
    assert_eq!(bench.project().await.active_release_id, ended.release_id, "what is committed stays");

    let stuck = bench.deploy("b").await;
    bench.called("confirm_release", bench.neighbours.count("confirm_release") + 1).await;
    let next = bench.deploy("c").await;
    assert_eq!(bench.ended(&stuck).await.error_code.as_deref(), Some("unfinished"));
    *bench.neighbours.unrouted.lock().expect("unrouted") = None;
    assert_eq!(bench.ended(&next).await.state, "done");
    bench.assert_only_the_active_release_runs().await;
    bench.end().await;
}

#[tokio::test]
async fn a_start_that_fails_leaves_nothing_running() {
    let bench = Bench::new().await;
    bench.start();
    bench.ended(&bench.deploy("a").await).await;
    bench.ended(&bench.submit(Input::Stop).await).await;
    let stopped = bench.neighbours.count("stop_release");
    *bench.neighbours.never_ready.lock().expect("never_ready") = true;
    assert_eq!(bench.ended(&bench.submit(Input::Start).await).await.state, "failed");
    assert_eq!(bench.neighbours.count("stop_release"), stopped + 1);
    assert_eq!(bench.project().await.desired_state, "stopped");
    bench.end().await;
}

#[tokio::test]
async fn starting_brings_back_an_app_whose_containers_are_gone() {
    let bench = Bench::new().await;
    bench.start();
    bench.ended(&bench.deploy("a").await).await;
    assert_eq!(bench.ended(&bench.submit(Input::Start).await).await.state, "done");
    assert_eq!(bench.neighbours.count("start_release"), 1, "it runs already");
    bench.neighbours.running.lock().expect("running").clear();
    assert_eq!(bench.ended(&bench.submit(Input::Start).await).await.state, "done");
    assert_eq!(bench.neighbours.count("start_release"), 2);
    bench.end().await;
}

#[tokio::test]
async fn a_source_that_was_cut_off_is_not_built() {
    let bench = Bench::new().await;
    *bench.neighbours.cut_archives.lock().expect("cut_archives") = 2;
    bench.start();
    assert_eq!(bench.ended(&bench.deploy("a").await).await.state, "done");
    assert_eq!(bench.neighbours.count("archive"), 3);
    assert_eq!(bench.neighbours.count("start_build"), 1);
    bench.end().await;
}

#[tokio::test]
async fn an_image_that_is_gone_from_the_engine_is_built_again() {
    let bench = Bench::new().await;
    bench.start();
    bench.ended(&bench.deploy("a").await).await;
    *bench.neighbours.image_gone.lock().expect("image_gone") = true;
    let again = bench.ended(&bench.deploy("a").await).await;
    assert_eq!((again.state.as_str(), again.error_text.as_deref()), ("done", None));
    assert_eq!(bench.neighbours.count("start_build"), 2);
    *bench.neighbours.image_gone.lock().expect("image_gone") = true;
    let configured = bench.ended(&bench.submit(Input::Reconfigure).await).await;
    assert_eq!(configured.error_code.as_deref(), Some("image_missing"), "only a commit can be built");
    bench.end().await;
}

#[tokio::test]
async fn a_claim_that_cannot_be_renewed_is_given_up_before_its_lease_ends() {
    let bench = Bench::new().await;
    let row = bench.deploy("a").await;
    let claimed = bench.engine.claim().await.expect("claims").expect("a row");
    let id = row.id().expect("an id");
    let claim = operation::Claim { id, holder: bench.engine.holder.to_string(), fence: claimed.fence };
    // Nobody else can write the row, and nobody is told so.
    let mut tx = bench.tx().await;
    let next = operation::Progress { state: "running", step: "drain", step_data: "{}", release_id: None };
    assert!(operation::advance(&mut tx, &claim, next).await.expect("runs"));
    let given_up = super::run::keep_claim(&bench.engine, &claim);
    let lease = Duration::from_millis(operation::LEASE_MS.unsigned_abs());
    tokio::time::timeout(lease, given_up).await.expect("before the lease ends");
    drop(tx);
    bench.end().await;
}

#[tokio::test]
async fn at_night_repositories_are_maintained_and_images_go_that_nothing_needs() {
    let bench = Bench::new().await;
    bench.start();
    for commit in ["1", "2", "3", "4", "5", "6", "7"] {
        bench.ended(&bench.deploy(commit).await).await;
    }
    let first = release::find_by_seq(&mut bench.tx().await, bench.project, 1).await.expect("read");
    let back = Input::DeployRelease { release: first.expect("v1").id, keep_configuration: false };
    bench.ended(&bench.submit(back).await).await;
    let kept = || bench.neighbours.kept_images.lock().expect("kept_images").last().cloned().expect("asked");
    super::nightly::pass(&bench.engine).await.expect("done");
    assert_eq!(bench.neighbours.count("maintain"), 1);
    assert_eq!(bench.neighbours.count("collect_registry"), 1);
    assert_eq!(kept().len(), 7, "what was built today may still be on its way");
    bench.engine.clock.advance_ms(2 * 24 * 3_600_000);
    super::nightly::pass(&bench.engine).await.expect("done");
    // v8 is v1's image and active; with v4 to v8 that leaves v2's and v3's to be removed.
    assert_eq!(kept(), ["pt-1", "pt-4", "pt-5", "pt-6", "pt-7"]);
    bench.end().await;
}

/// The project's repository, the actions, and seconds of life.
fn read_token(token: &str) -> (String, Vec<String>, i64) {
    let claims = token.split('.').nth(1).expect("three parts");
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).expect("base64");
    let claims: serde_json::Value = serde_json::from_slice(&claims).expect("JSON");
    let access = &claims["access"][0];
    let actions = access["actions"].as_array().expect("actions");
    let actions = actions.iter().map(|action| action.as_str().expect("text").to_owned()).collect();
    let life = claims["exp"].as_i64().expect("a time") - claims["iat"].as_i64().expect("a time");
    (access["name"].as_str().expect("a name").to_owned(), actions, life)
}

#[tokio::test]
async fn each_call_brings_a_token_for_its_project_and_for_no_more_than_it_does() {
    let bench = Bench::new().await;
    bench.start();
    bench.ended(&bench.deploy("a").await).await;
    bench.ended(&bench.deploy("a").await).await;
    super::nightly::pass(&bench.engine).await.expect("done");
    bench.ended(&bench.submit(Input::Delete).await).await;
    let tokens = bench.neighbours.tokens.lock().expect("tokens").clone();
    let deadline = i64::from(bench.engine.config.operation_deadline_seconds);
    for (call, actions, life) in [
        ("start_build", &["pull", "push"][..], deadline + 600),
        ("start_release", &["pull"], 600),
        ("ensure_image", &["pull"], 600),
        ("prune_images", &["pull", "delete"], 600),
        ("remove_project", &["pull", "delete"], 600),
    ] {
        let brought = tokens.iter().filter(|(by, _)| *by == call).map(|(_, token)| read_token(token));
        let brought: Vec<_> = brought.collect();
        assert!(!brought.is_empty(), "{call}");
        for (repository, allowed, good) in brought {
            assert_eq!(repository, format!("apps/{}", bench.project), "{call}");
            assert_eq!(allowed, actions, "{call}");
            assert!(good <= life, "{call}: {good} s");
        }
    }
    bench.end().await;
}

#[tokio::test]
async fn a_build_without_the_registry_is_nobodys_fault_and_says_so() {
    let bench = Bench::new().await;
    *bench.neighbours.build_fails.lock().expect("build_fails") = true;
    *bench.neighbours.registry_down.lock().expect("registry_down") = true;
    bench.start();
    let ended = bench.ended(&bench.deploy("a").await).await;
    assert_eq!(ended.error_code.as_deref(), Some("registry_unavailable"));
    bench.end().await;
}
