//! The buildpack as the lifecycle runs it. What the server does is tested where the server is.

use std::{fs, path::Path};

use paastech_buildpack_harness::App;

const BUILDS: &str = r#"{ "scripts": { "build": "vite build" } }"#;
const STARTS: &str = r#"{ "scripts": { "build": "tsc", "start": "node server.js" } }"#;

fn app() -> App {
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("buildpack.toml");
    App::new(env!("CARGO_BIN_EXE_paastech-buildpack-static"), env!("CARGO_MANIFEST_DIR"))
        .buildpack_file("bin/static-server", &server)
}

#[test]
fn files_and_builds_without_a_server_are_detected() {
    assert!(app().file("index.html", "").detect().detected());
    assert!(app().file("public/index.html", "").detect().detected());
    assert!(app().file("package.json", BUILDS).detect().detected());
    assert!(app().variable("BP_STATIC_ROOT", "site").detect().detected());
    assert!(!app().file("README.md", "").detect().detected());
}

#[test]
fn a_node_server_with_a_public_directory_is_left_to_itself() {
    assert!(!app().file("package.json", STARTS).file("public/index.html", "").detect().detected());
    let server = app().file("package.json", "{}").file("server.js", "").file("index.html", "");
    assert!(!server.detect().detected());
}

#[test]
fn the_server_is_shipped_in_a_launch_layer_and_serves_the_root() {
    let app = app().file("index.html", "");
    let outcome = app.build().built();
    assert_eq!(outcome.process("web"), ["static-server", "."]);
    assert_eq!(outcome.default_process().as_deref(), Some("web"));
    assert_eq!(app.layers_for("launch"), ["server"]);
    assert!(fs::exists(app.layer("server").join("bin/static-server")).unwrap());
}

#[test]
fn the_root_is_public_or_the_builds_output_or_the_one_named() {
    let public = app().file("public/index.html", "").build().built();
    assert_eq!(public.process("web"), ["static-server", "public"]);
    let output = app().file("package.json", BUILDS).file("index.html", "").file("build/index.html", "");
    assert_eq!(output.build().built().process("web"), ["static-server", "build"]);
    let named = app().file("site/index.html", "").variable("BP_STATIC_ROOT", "site");
    assert_eq!(named.build().built().process("web"), ["static-server", "site"]);
}

#[test]
fn single_page_apps_are_asked_for_by_a_variable() {
    let outcome = app().file("index.html", "").variable("BP_STATIC_SPA", "true").build().built();
    assert_eq!(outcome.process("web"), ["static-server", ".", "--single-page"]);
}

#[test]
fn a_root_that_is_not_there_or_outside_is_refused() {
    for root in ["../other", "/etc", "gone"] {
        let outcome = app().file("index.html", "").variable("BP_STATIC_ROOT", root).build();
        assert!(outcome.refused().contains(&format!("BP_STATIC_ROOT is `{root}`")), "{}", outcome.output);
    }
}

#[test]
fn a_build_without_a_page_says_where_it_was_looked_for() {
    let outcome = app().file("package.json", BUILDS).file("index.html", "").build();
    assert!(outcome.refused().contains("no index.html in dist/, build/ or out/"), "{}", outcome.output);
}
