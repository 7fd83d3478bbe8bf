//! The buildpack as the lifecycle runs it.

use paastech_buildpack_harness::App;

fn app() -> App {
    App::new(env!("CARGO_BIN_EXE_paastech-buildpack-procfile"), env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn only_a_procfile_is_detected() {
    assert!(app().file("Procfile", "web: ./server").detect().detected());
    assert!(!app().file("README.md", "").detect().detected());
}

#[test]
fn each_line_is_a_process_and_web_is_the_default() {
    let app = app().file("Procfile", "worker: ./work\nweb: python3 -m http.server $PORT\n");
    let outcome = app.build().built();
    assert_eq!(outcome.process("worker"), ["bash", "-c", "./work"]);
    assert_eq!(outcome.process("web"), ["bash", "-c", "python3 -m http.server $PORT"]);
    assert_eq!(outcome.default_process().as_deref(), Some("web"));
    assert!(app.layers_for("launch").is_empty());
    assert!(app.start(&outcome, "web").get("/Procfile").starts_with("worker: ./work"));
}

#[test]
fn a_malformed_line_fails_the_build_and_is_named() {
    let outcome = app().file("Procfile", "web: ./server\nworker ./work\n").build();
    assert!(outcome.refused().starts_with("Error: Procfile line 2: "), "{}", outcome.output);
}
