//! Apps without a Dockerfile: the samples as their users push them, twice.

use std::path::Path;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{Platform, Source, developer::Project, eventually};

/// Pushes a sample, then a change of it; `kept` is what the second build says of the first one's work.
async fn twice(platform: &Platform, name: &str, kept: &str) {
    let developer = platform.developer().await;
    let project = developer.project(platform).await;
    let repository = developer.repository(&Source::sample(name)).await;
    let first = repository.push(&project).await.succeeded();
    assert!(!first.contains(kept), "{first}");
    let greeting = format!("Hello from {name}");
    let page = project.visit().await;
    assert!(page.body.contains(&greeting), "{} {}", page.status, page.body);
    repository.commit(&Source::empty().with("CHANGED", "once more")).await;
    let second = repository.push(&project).await.succeeded();
    assert!(second.contains(kept), "{second}");
    eventually("the app still answers", 10, || async {
        project.visit().await.body.contains(&greeting).then_some(())
    })
    .await;
}

pub(super) async fn a_static_site(platform: &Platform) {
    twice(platform, "static", " 0 layers added").await;
}

pub(super) async fn a_flask_app(platform: &Platform) {
    twice(platform, "python-flask", "Restored from cache: paastech/python:").await;
}

pub(super) async fn a_django_app(platform: &Platform) {
    twice(platform, "python-django", "Restored from cache: paastech/python:").await;
}

pub(super) async fn an_express_app(platform: &Platform) {
    twice(platform, "node-express", "Restored from cache: paastech/nodejs:").await;
}

pub(super) async fn a_site_that_vite_builds(platform: &Platform) {
    twice(platform, "node-vite", "Restored from cache: paastech/nodejs:").await;
}

pub(super) async fn a_go_program(platform: &Platform) {
    twice(platform, "go", "Restored from cache: paastech/go:").await;
}

pub(super) async fn a_rust_program(platform: &Platform) {
    twice(platform, "rust", "Restored from cache: paastech/rust:").await;
}

pub(super) async fn a_procfile(platform: &Platform) {
    twice(platform, "procfile", " 0 layers added").await;
}

pub(super) async fn the_sample_service_is_built_both_ways(platform: &Platform) {
    let developer = platform.developer().await;
    let project = developer.project(platform).await;
    let repository = developer.repository(&Source::sample("randomize")).await;
    let text = repository.push(&project).await.succeeded();
    assert!(text.contains("Detected paastech/python"), "{text}");
    jumbles(&project).await;
    repository.commit(&Source::empty().with("paastech.yaml", "build: dockerfile\n")).await;
    let text = repository.push(&project).await.succeeded();
    assert!(!text.contains("Detected"), "{text}");
    jumbles(&project).await;
}

/// The sample service does what it is for.
async fn jumbles(project: &Project) {
    let answer =
        project.site.post("/api/randomizes", &json!({ "word": "some_word" })).await.expect("it answers");
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let record: Value = serde_json::from_str(&answer.body).expect("JSON");
    let letters = |text: &Value| {
        let mut letters: Vec<char> = text.as_str().expect("a word").chars().collect();
        letters.sort_unstable();
        letters
    };
    assert_eq!(letters(&record["jumbled"]), letters(&json!("some_word")), "{record}");
    let docs = project.site.get("/docs").await.expect("it answers");
    assert!(docs.status == StatusCode::OK && docs.body.contains("swagger"), "{}", docs.body);
}

pub(super) async fn what_no_buildpack_knows_is_refused_with_the_way_out(platform: &Platform) {
    let developer = platform.developer().await;
    let project = developer.project(platform).await;
    let repository = developer.repository(&Source::empty().with("README.md", "# nothing to run")).await;
    let ended = repository.push(&project).await;
    assert_eq!(ended.code, Some(1), "{}", ended.text);
    assert!(ended.text.contains("requirements.txt") && ended.text.contains("Dockerfile"), "{}", ended.text);
    assert_eq!(repository.remote_ref(&project, "refs/heads/main").await, None);
}

pub(super) async fn a_malformed_manifest_is_refused_by_line_and_field(platform: &Platform) {
    let developer = platform.developer().await;
    let project = developer.project(platform).await;
    for (text, expected) in [
        ("buildpacks:\n  pth: web\n", "paastech.yaml:2:"),
        ("buildpacks:\n  path: ../x\n", "paastech.yaml:2: path:"),
        ("buildpacks:\n  env:\n    - LD_PRELOAD=/x\n", "\"LD_PRELOAD\" is reserved by the platform"),
        ("buildpacks:\n  builder: evil/builder\n", "evil/builder is not among those that may be used"),
        ("buildpacks:\n  buildpack: a/b\n", "a/b is not in paastech/builder:12"),
    ] {
        let source = Source::sample("static").with("paastech.yaml", text);
        let repository = developer.repository(&source).await;
        let ended = repository.push(&project).await;
        assert_eq!(ended.code, Some(1), "{}", ended.text);
        assert!(ended.text.contains(expected), "{expected}: {}", ended.text);
    }
}

impl Source {
    /// A sample of the checkout.
    fn sample(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples").join(name);
        let mut source = Self::empty();
        let mut open = vec![folder.clone()];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(&dir).expect("the sample is in the checkout") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let name = path.strip_prefix(&folder).expect("below").to_string_lossy().into_owned();
                    source = source.with(&name, std::fs::read(&path).expect("a file"));
                }
            }
        }
        source
    }
}
