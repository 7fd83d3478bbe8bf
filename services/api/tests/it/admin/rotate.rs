//! Secrets replaced while the api runs.

use std::fs;

use paastech_api::Config;
use paastech_runtime::{Secret, SecretFiles};
use reqwest::StatusCode;
use serde_json::json;

use super::{Admin, write_private};
use crate::{
    database::run,
    harness::{Client, PASSWORD, on_each_database},
};

async fn set_secret(client: &Client, project: &str, value: &str) {
    let body = json!({ "set": { "TOKEN": { "value": value, "kind": "secret" } }, "unset": [] });
    let path = format!("/v1/projects/{project}/variables?deploy=false");
    client.send(reqwest::Method::PATCH, &path, &body).await.expect(StatusCode::OK).await;
}

#[tokio::test]
async fn what_was_sealed_before_a_rotation_opens_after_it() {
    on_each_database(async |server| {
        let client = server.user("ada").await;
        let one = client.project("one").await;
        client.project("two").await;
        client.deploy(&one).await;
        set_secret(&client, &one, "before").await;
        let files = SecretFiles::ensure(server.config.secrets_dir()).unwrap();
        let before = files.kek().unwrap();
        let admin = Admin::of(server).await;
        let ended = admin.run(&["rotate-secrets", "kek"]).await.succeeded();
        assert!(ended.out.contains("2 of 2 projects"), "{}", ended.out);
        assert_ne!(files.kek().unwrap(), before);
        assert!(files.old_kek().unwrap().is_none());
        client.deploy(&one).await;
        assert_eq!(server.fakes.variables(), [("TOKEN".to_owned(), "before".to_owned())]);
        set_secret(&client, &one, "after").await;
        client.project("three").await;
        admin.run(&["rotate-secrets", "kek"]).await.succeeded();
        client.deploy(&one).await;
        assert_eq!(server.fakes.variables(), [("TOKEN".to_owned(), "after".to_owned())]);
        admin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_rotation_that_was_cut_off_is_found_and_goes_on() {
    on_each_database(async |server| {
        let client = server.user("ada").await;
        let one = client.project("one").await;
        client.deploy(&one).await;
        set_secret(&client, &one, "before").await;
        let files = SecretFiles::ensure(server.config.secrets_dir()).unwrap();
        files.rotate_kek().unwrap();
        client.project("made-in-between").await;
        client.deploy(&one).await;
        assert_eq!(server.fakes.variables(), [("TOKEN".to_owned(), "before".to_owned())], "both keys count");
        let admin = Admin::of(server).await;
        let doctor = admin.run(&["doctor"]).await;
        assert!(doctor.out.contains("run `rotate-secrets kek` again"), "{}", doctor.out);
        let kek = files.kek().unwrap();
        let ended = admin.run(&["rotate-secrets", "kek"]).await.succeeded();
        assert!(ended.out.contains("1 of 2 projects"), "{}", ended.out);
        assert_eq!(files.kek().unwrap(), kek, "it went on with the key that was made");
        client.deploy(&one).await;
        admin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_key_that_opens_nothing_stops_the_rotation_before_anything_is_destroyed() {
    on_each_database(async |server| {
        server.user("ada").await.project("one").await;
        let kek = server.config.secrets_dir().join("kek");
        fs::remove_file(&kek).unwrap();
        write_private(&kek, &"ab".repeat(32));
        let admin = Admin::of(server).await;
        admin.run(&["rotate-secrets", "kek"]).await.failed("opens with neither key");
        let files = SecretFiles::ensure(server.config.secrets_dir()).unwrap();
        assert!(files.old_kek().unwrap().is_some(), "it is kept");
        let doctor = admin.run(&["doctor"]).await;
        assert!(doctor.out.contains("open with no key here"), "{}", doctor.out);
        admin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_new_key_of_access_tokens_ends_them_and_keeps_refresh_tokens() {
    on_each_database(async |server| {
        let client = server.user("ada").await;
        let body = json!({ "email": "ada@example.org", "password": PASSWORD });
        let session = server.nobody().post("/v1/sessions", &body).await.expect(StatusCode::CREATED).await;
        let admin = Admin::of(server).await;
        admin.run(&["rotate-secrets", "jwt"]).await.succeeded();
        assert_eq!(client.get("/v1/account").await.status(), 401);
        let body = json!({ "refresh_token": session["refresh_token"] });
        let fresh = server.nobody().post("/v1/sessions/refresh", &body).await.expect(StatusCode::OK).await;
        let client = server.nobody().with_token(fresh["access_token"].as_str().unwrap());
        assert_eq!(client.get("/v1/account").await.status(), 200);
        admin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_key_of_labels_is_not_offered() {
    on_each_database(async |server| {
        let admin = Admin::of(server).await;
        assert_eq!(admin.run(&["rotate-secrets", "label-hmac"]).await.code, Some(2));
        admin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_databases_password_is_replaced_and_its_file_with_it() {
    on_each_database(async |server| {
        let admin = Admin::of(server).await;
        let url = server.config.database_url().expose().to_owned();
        if !url.starts_with("postgres") {
            admin.run(&["rotate-secrets", "database"]).await.failed("a database in a file has no password");
            return admin.stop().await;
        }
        let role = format!("role_{}", uuid::Uuid::new_v4().simple());
        run(&url, format!("CREATE ROLE {role} LOGIN PASSWORD 'old'")).await;
        let (_, host) = url.rsplit_once('@').unwrap();
        let old = format!("postgres://{role}:old@{host}");
        let config = Config { database: Secret::new(&*old), ..server.config.clone() };
        let of_role = Admin::on(config, &server.fakes).await;
        of_role.run(&["rotate-secrets", "database"]).await.succeeded();
        let file = of_role.file("database-0");
        let new = fs::read_to_string(&file).unwrap();
        assert!(new.starts_with(&format!("postgres://{role}:")) && new.trim() != old);
        let connect = async |url: &str| paastech_db::Database::connect(url).await.map(|_| ());
        connect(new.trim()).await.unwrap();
        assert!(connect(&old).await.is_err(), "the old password is refused");
        assert!(!fs::exists(format!("{file}.new")).unwrap());
        of_role.stop().await;
        run(&url, format!("DROP ROLE {role}")).await;
        admin.stop().await;
    })
    .await;
}
