//! A day with the command line client, as its help tells it.

use std::path::Path;

use serde_json::Value;

use crate::{Developer, Platform, Source, api::PASSWORD};

impl Developer {
    /// `paastech login`, so that the client's other commands work.
    pub(crate) async fn log_in_with_the_client(&self, platform: &Platform) {
        let api = format!("http://{}", platform.api.address);
        let words = ["login", &api, "--email", &self.email, "--password-stdin"];
        self.paastech(None, &words, PASSWORD).await.succeeded();
    }
}

pub(super) async fn a_day_with_the_command_line(platform: &Platform) {
    let developer = Developer::newcomer(platform);
    let api = format!("http://{}", platform.api.address);
    let words = ["signup", &api, "--email", &developer.email, "--name", "Dev", "--password-stdin"];
    developer.paastech(None, &words, PASSWORD).await.succeeded();
    developer.paastech(None, &["logout"], "").await.succeeded();
    developer.log_in_with_the_client(platform).await;
    developer.paastech(None, &["whoami"], "").await.succeeded();
    developer.make_key("id_ed25519").await;
    developer.paastech(None, &["keys", "add"], "").await.succeeded();
    let keys = developer.paastech(None, &["keys", "list"], "").await.succeeded();
    assert!(keys.contains("laptop"), "{keys}");
    developer.paastech(None, &["keys", "remove", "laptop"], "").await.succeeded();
    developer.paastech(None, &["keys", "add"], "").await.succeeded();

    let repository = developer.repository(&Source::greeting("by hand")).await;
    let here = Some(repository.folder());
    let name = format!("cli-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    let created = developer.paastech(here, &["create", &name], "").await.succeeded();
    assert!(created.contains("git push paastech main"), "{created}");
    let pushed = repository.git(&["push", "paastech", "main"]).await.succeeded();
    assert!(pushed.contains("live at"), "{pushed}");

    let status = developer.paastech(here, &["status"], "").await.succeeded();
    assert!(status.contains("running") && status.contains(&name), "{status}");
    let logs = developer.paastech(here, &["logs"], "").await.succeeded();
    assert!(logs.contains("listening on 0.0.0.0:8080"), "{logs}");
    let shown = developer.paastech(here, &["projects", "--json"], "").await.succeeded();
    let listed: Value = serde_json::from_str(&shown).expect("one JSON value");
    let url = listed["items"][0]["url"].as_str().expect("a URL").to_owned();

    let site = platform.site(&url);
    let body = async || site.get("/").await.expect("the proxy answers").body;
    assert_eq!(body().await, "by hand");
    developer.paastech(here, &["config", "set", "GREETING=configured"], "").await.succeeded();
    assert_eq!(body().await, "configured");
    let releases = developer.paastech(here, &["releases"], "").await.succeeded();
    assert!(releases.contains("v1") && releases.contains("v2"), "{releases}");
    developer.paastech(here, &["rollback"], "").await.succeeded();
    assert_eq!(body().await, "by hand");
    developer.paastech(here, &["stats"], "").await.succeeded();
    builds(&developer, repository.folder()).await;

    let asked = developer.paastech(here, &["delete"], "").await;
    assert_eq!(asked.code, Some(2), "deleting asks: {}", asked.text);
    developer.paastech(here, &["delete", "--yes"], "").await.succeeded();
    let gone = developer.paastech(here, &["status"], "").await;
    assert_eq!(gone.code, Some(4), "{}", gone.text);
    developer.paastech(None, &["logout"], "").await.succeeded();
    assert_eq!(developer.paastech(None, &["projects"], "").await.code, Some(3));
}

/// What built the app, and what builds apps.
async fn builds(developer: &Developer, folder: &Path) {
    let here = Some(folder);
    let listed = developer.paastech(here, &["builds", "--json"], "").await.succeeded();
    let listed: Value = serde_json::from_str(&listed).expect("one JSON value");
    let builds = listed["items"].as_array().expect("a list");
    assert_eq!(builds.len(), 1, "the variable and the rollback built nothing: {listed}");
    let id = builds[0]["id"].as_str().expect("an id");
    let shown = developer.paastech(here, &["builds", "show"], "").await.succeeded();
    assert!(shown.contains(id) && shown.contains("done"), "{shown}");
    for words in [&["builds", "log"][..], &["builds", "log", id, "--follow"]] {
        let log = developer.paastech(here, words, "").await.succeeded();
        assert!(log.contains("-----> Built an image"), "{log}");
    }
    let ended = developer.paastech(here, &["builds", "cancel"], "").await;
    assert_eq!(ended.code, Some(4), "none is under way: {}", ended.text);
    let cleared = developer.paastech(here, &["builds", "clear-cache"], "").await.succeeded();
    assert!(cleared.contains("cleared"), "{cleared}");
    let builders = developer.paastech(None, &["builder", "list"], "").await.succeeded();
    assert!(builders.contains("paastech/builder:12") && builders.contains("heroku/builder*"), "{builders}");
    let inside = developer.paastech(None, &["builder", "inspect"], "").await.succeeded();
    for pack in ["python", "nodejs", "go", "rust", "static", "procfile"] {
        assert!(inside.contains(&format!("paastech/{pack} ")), "{inside}");
    }
}
