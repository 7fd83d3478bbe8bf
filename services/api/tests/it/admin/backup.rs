//! Out of one database, into either.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use paastech_api::Config;
use reqwest::StatusCode;
use serde_json::json;

use super::Admin;
use crate::{
    database::Database,
    fakes::Fakes,
    harness::{Client, Server, on_each_database},
};

/// A project that has been deployed with a secret, and whose repository holds something.
pub(super) async fn lived_in(server: &Server) -> String {
    let client = server.user("ada").await;
    let project = client.project("shop").await;
    let body = json!({ "set": { "TOKEN": { "value": "hunter2", "kind": "secret" } }, "unset": [] });
    let path = format!("/v1/projects/{project}/variables?deploy=false");
    client.send(reqwest::Method::PATCH, &path, &body).await.expect(StatusCode::OK).await;
    client.deploy(&project).await;
    server.fakes.fill_repository(&project, b"a bundle");
    project
}

/// An installation that is not there yet.
pub(super) struct Elsewhere {
    pub(super) config: Config,
    pub(super) fakes: Fakes,
    pub(super) admin: Admin,
    _dir: tempfile::TempDir,
}

impl Elsewhere {
    pub(super) async fn new(like: &Server, database: &Database) -> Self {
        let (dir, fakes) = (tempfile::tempdir().unwrap(), Fakes::default());
        let data_dir = dir.path().join("data");
        let config =
            Config { data_dir, database: database.address(), admin_socket: None, ..like.config.clone() };
        let admin = Admin::on(config.clone(), &fakes).await;
        Self { config, fakes, admin, _dir: dir }
    }

    /// The api on it, and whoever logs in there.
    async fn start(&self) -> (Server, Client) {
        let server = Server::on(self.config.clone(), self.fakes.clone()).await;
        let client = server.log_in("ada@example.org").await;
        (server, client)
    }
}

#[tokio::test]
async fn a_backup_is_restored_into_either_database_and_goes_on() {
    on_each_database(async |server| {
        let project = lived_in(server).await;
        let admin = Admin::of(server).await;
        let file = admin.file("backup.tar");
        let ended =
            admin.run(&["backup", "--to", &file, "--include-secrets", "--include-logs"]).await.succeeded();
        assert!(ended.err.contains("WARNING: it holds the installation's keys"), "{}", ended.err);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        for database in Database::each().await {
            let elsewhere = Elsewhere::new(server, &database).await;
            let ended = elsewhere.admin.run(&["restore", "--from", &file]).await.succeeded();
            assert!(ended.out.contains("Restored 1 projects and 1 repositories"), "{}", ended.out);
            assert_eq!(elsewhere.fakes.repository(&project).as_deref(), Some(b"a bundle".as_slice()));
            let (restored, client) = elsewhere.start().await;
            let path = format!("/v1/projects/{project}");
            let view = client.get(&path).await.expect(StatusCode::OK).await;
            assert_eq!(view["slug"], "shop");
            let operations = client.get(&format!("{path}/operations")).await.expect(StatusCode::OK).await;
            let id = operations["items"][0]["id"].as_str().unwrap();
            let log =
                client.get(&format!("/v1/operations/{id}/log?follow=false")).await.0.text().await.unwrap();
            assert!(log.contains("Starting release v1"), "{log}");
            client.deploy(&project).await;
            assert_eq!(elsewhere.fakes.variables(), [("TOKEN".to_owned(), "hunter2".to_owned())]);
            let used = elsewhere.admin.run(&["restore", "--from", &file]).await;
            used.failed("another api uses the data directory");
            restored.stop().await;
            let used = elsewhere.admin.run(&["restore", "--from", &file]).await;
            used.failed("--force replaces them");
            elsewhere.admin.run(&["restore", "--from", &file, "--force"]).await.succeeded();
            elsewhere.admin.stop().await;
            database.drop().await;
        }
        admin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn log_ins_are_not_brought_back_and_fences_rise_above_all_before() {
    on_each_database(async |server| {
        let project = lived_in(server).await;
        let admin = Admin::of(server).await;
        let file = admin.file("backup.tar");
        admin.run(&["backup", "--to", &file, "--include-secrets"]).await.succeeded();
        let database = Database::each().await.pop().unwrap();
        let elsewhere = Elsewhere::new(server, &database).await;
        elsewhere.admin.run(&["restore", "--from", &file]).await.succeeded();
        let sessions = elsewhere.admin.run(&["sessions", "list", "--json"]).await.succeeded();
        assert_eq!(sessions.out.trim(), "[]");
        let (restored, client) = elsewhere.start().await;
        client.deploy(&project).await;
        assert!(elsewhere.fakes.highest_fence() > 1_700_000_000_000, "a time in milliseconds");
        restored.stop().await;
        elsewhere.admin.stop().await;
        database.drop().await;
        admin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_restore_that_fails_late_leaves_the_rows_and_the_key_that_opens_them() {
    on_each_database(async |server| {
        lived_in(server).await;
        let admin = Admin::of(server).await;
        let file = admin.file("backup.tar");
        admin.run(&["backup", "--to", &file, "--include-secrets", "--include-logs"]).await.succeeded();
        let database = Database::each().await.pop().unwrap();
        let elsewhere = Elsewhere::new(server, &database).await;
        let first = Server::on(elsewhere.config.clone(), elsewhere.fakes.clone()).await;
        first.user("eve").await;
        first.stop().await;
        let kek = || fs::read_to_string(elsewhere.config.secrets_dir().join("kek")).unwrap();
        let (before, logs) = (kek(), elsewhere.config.data_dir.join("logs"));
        fs::remove_dir_all(&logs).unwrap();
        fs::write(&logs, "in the way").unwrap();
        elsewhere.admin.run(&["restore", "--from", &file, "--force"]).await.failed("logs");
        assert_eq!(kek(), before);
        let sessions = elsewhere.admin.run(&["sessions", "list"]).await.succeeded();
        assert!(sessions.out.contains("eve@example.org"), "{}", sessions.out);
        elsewhere.admin.stop().await;
        database.drop().await;
        admin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn without_the_keys_a_backup_needs_those_of_the_old_installation() {
    on_each_database(async |server| {
        let project = lived_in(server).await;
        let admin = Admin::of(server).await;
        let folder = admin.file("backups");
        fs::create_dir(&folder).unwrap();
        let ended = admin.run(&["backup", "--to", &folder]).await.succeeded();
        assert!(ended.err.contains("The keys are not in it"), "{}", ended.err);
        let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
        let kek = fs::read_to_string(server.config.secrets_dir().join("kek")).unwrap();
        let bytes = fs::read(&file).unwrap();
        assert!(!bytes.windows(64).any(|part| part == kek.trim().as_bytes()), "the key is in the file");
        let file = file.to_str().unwrap();
        let database = Database::each().await.pop().unwrap();
        let elsewhere = Elsewhere::new(server, &database).await;
        let refused = elsewhere.admin.run(&["restore", "--from", file]).await.failed("need the key ");
        assert!(
            refused.err.contains(&project) && refused.err.contains("put the old installation's `kek` there")
        );
        assert!(
            elsewhere.fakes.repository(&project).is_none()
                && !elsewhere.config.data_dir.join("paastech.db").exists()
        );
        super::write_private(&elsewhere.config.secrets_dir().join("kek"), &kek);
        elsewhere.admin.run(&["restore", "--from", file]).await.succeeded();
        elsewhere.admin.stop().await;
        database.drop().await;
        admin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_backup_goes_through_a_pipe_and_never_over_a_file() {
    on_each_database(async |server| {
        lived_in(server).await;
        let admin = Admin::of(server).await;
        let file = admin.file("backup.tar");
        fs::write(&file, "precious").unwrap();
        admin.run(&["backup", "--to", &file]).await.failed("is there already");
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
        let piped = admin.run(&["backup", "--to", "-"]).await.succeeded();
        let database = Database::each().await.pop().unwrap();
        let elsewhere = Elsewhere::new(server, &database).await;
        fs::create_dir_all(elsewhere.config.secrets_dir()).unwrap();
        fs::copy(server.config.secrets_dir().join("kek"), elsewhere.config.secrets_dir().join("kek"))
            .unwrap();
        elsewhere.admin.run_with(&["restore", "--from", "-"], &piped.out).await.succeeded();
        elsewhere.admin.stop().await;
        database.drop().await;
        admin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_backup_that_cannot_be_made_leaves_no_file() {
    on_each_database(async |server| {
        lived_in(server).await;
        let admin = Admin::of(server).await;
        let folder = admin.file("backups");
        fs::create_dir(&folder).unwrap();
        server.fakes.cut_exports();
        admin.run(&["backup", "--to", &folder]).await.failed("it was cut off");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        admin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_schema_of_another_version_is_left_as_it_is() {
    on_each_database(async |server| {
        let admin = Admin::of(server).await;
        let file = admin.file("backup.tar");
        let newest = "SELECT MAX(version) FROM _sqlx_migrations";
        for (change, why) in [
            ("version = 9999", "use the programs of the version that made it"),
            ("version = 0", "start the api of this version"),
        ] {
            server.execute(format!("UPDATE _sqlx_migrations SET {change} WHERE version = ({newest})")).await;
            admin.run(&["backup", "--to", &file]).await.failed(why);
            admin.run(&["sessions", "list"]).await.failed(why);
        }
        assert!(!fs::exists(&file).unwrap());
        admin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_backup_that_is_interrupted_leaves_no_file() {
    on_each_database(async |server| {
        lived_in(server).await;
        let admin = Admin::of(server).await;
        let folder = admin.file("backups");
        fs::create_dir(&folder).unwrap();
        let files = || fs::read_dir(&folder).unwrap().count();
        let held = server.fakes.hold_git().await;
        let mut running =
            tokio::process::Command::from(admin.command(&["backup", "--to", &folder])).spawn().unwrap();
        while files() == 0 {
            assert!(running.try_wait().unwrap().is_none(), "it has ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let id = rustix::process::Pid::from_raw(running.id().unwrap().cast_signed()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        assert_eq!(running.wait().await.unwrap().code(), Some(1));
        assert_eq!(files(), 0);
        drop(held);
        admin.stop().await;
    })
    .await;
}
