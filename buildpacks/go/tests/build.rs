//! The buildpack as the lifecycle runs it, with the real Go.

use std::path::Path;

use paastech_buildpack_harness::App;

const MAIN: &str = "package main\n\nfunc main() { println(\"done\") }\n";

fn app() -> App {
    App::new(env!("CARGO_BIN_EXE_paastech-buildpack-go"), env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn modules_are_detected() {
    assert!(app().file("go.mod", "module x").detect().detected());
    assert!(!app().file("main.go", MAIN).detect().detected());
}

#[test]
fn a_program_is_served_and_what_it_took_is_cached() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/go");
    let app = app().sample(&sample);
    let first = app.build().built();
    assert_eq!(first.process("web"), ["hello"]);
    assert_eq!(first.default_process().as_deref(), Some("web"));
    assert_eq!(app.layers_for("launch"), ["programs"]);
    assert_eq!(app.layers_for("cache"), ["go", "modules", "objects"]);
    assert_eq!(app.start(&first, "web").get("/"), "Hello from go\n");

    app.write("cmd/worker/main.go", MAIN);
    let second = app.build().built();
    for cached in ["Go 1.", "modules", "compiled packages"] {
        assert!(second.says(&format!("- Using cached {cached}")), "{}", second.output);
    }
    assert!(!second.says("Fetching"), "{}", second.output);
    assert_eq!(second.process("worker"), ["worker"]);
    assert_eq!(second.process("web"), ["hello"]);

    let only = app.variable("BP_GO_TARGETS", "./cmd/worker");
    assert_eq!(only.build().built().process("web"), ["worker"]);
    only.write("cmd/worker/main.go", "package main\n\nfunc main() { undefined() }\n");
    let broken = only.build();
    assert!(broken.says("undefined: undefined"), "{}", broken.output);
    assert!(broken.refused().contains("go build example.com/hello/cmd/worker failed"), "{}", broken.output);
}

#[test]
fn a_go_that_cannot_be_had_is_refused_with_those_that_can() {
    let outcome = app().file("go.mod", "module x\n\ngo 1.99\n").build();
    assert!(outcome.refused().contains("go.mod asks for Go 1.99.0"), "{}", outcome.output);
    assert!(outcome.refused().contains("These can: 1.2"), "{}", outcome.output);
}

#[test]
fn modules_that_cannot_be_had_fail_the_build_with_what_to_do() {
    let source = "package main\n\nimport _ \"example.invalid/none\"\n\nfunc main() {}\n";
    let app = app().file("go.mod", "module x\n\ngo 1.24\n").file("main.go", source);
    let missing = app.build();
    assert!(missing.says("no required module provides package example.invalid/none"), "{}", missing.output);
    assert!(missing.refused().contains("go mod tidy"), "{}", missing.output);

    app.write("go.mod", "module x\n\ngo 1.24\n\nrequire example.invalid/none v1.0.0\n");
    let unlisted = app.build();
    assert!(unlisted.says("go.sum"), "{}", unlisted.output);
    assert!(unlisted.refused().contains("go mod tidy"), "{}", unlisted.output);
}
