//! The buildpack as the lifecycle runs it, with the real cargo.

use std::path::Path;

use paastech_buildpack_harness::App;

fn app() -> App {
    App::new(env!("CARGO_BIN_EXE_paastech-buildpack-rust"), env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn packages_are_detected() {
    assert!(app().file("Cargo.toml", "").detect().detected());
    assert!(!app().file("src/main.rs", "").detect().detected());
}

#[test]
fn a_binary_is_served_and_what_it_took_is_cached() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/rust");
    let app = app().sample(&sample);
    let first = app.build().built();
    assert_eq!(first.process("web"), ["hello"]);
    assert_eq!(first.default_process().as_deref(), Some("web"));
    assert_eq!(app.layers_for("launch"), ["programs"]);
    assert_eq!(app.layers_for("cache"), ["cargo-home", "target"]);
    assert_eq!(app.start(&first, "web").get("/"), "Hello from rust\n");

    app.write("src/bin/worker.rs", "fn main() {}\n");
    let second = app.build().built();
    assert!(second.says("- Using cached packages"), "{}", second.output);
    assert!(second.says("- Using cached compiled packages"), "{}", second.output);
    assert!(!second.says("Compiling httparse"), "{}", second.output);
    assert_eq!(
        (second.process("web"), second.process("worker")),
        (vec!["hello".to_owned()], vec!["worker".to_owned()])
    );

    app.write("src/bin/worker.rs", "fn main() { undefined() }\n");
    let broken = app.build();
    assert!(broken.says("cannot find function `undefined`"), "{}", broken.output);
    assert!(
        broken.refused().starts_with("Error: cargo build failed (exit status: 101)"),
        "{}",
        broken.output
    );
}

#[test]
fn a_lock_file_is_required_and_must_be_up_to_date() {
    let manifest = "[package]\nname = \"x\"\nversion = \"1.0.0\"\nedition = \"2024\"\n";
    let app = app().file("Cargo.toml", manifest).file("src/main.rs", "fn main() {}\n");
    assert!(app.build().refused().contains("There is no Cargo.lock"));
    app.write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"y\"\nversion = \"1.0.0\"\n");
    let stale = app.build();
    assert!(stale.refused().contains("If Cargo.lock is out of date"), "{}", stale.output);
}
