//! The buildpack that `buildpacks/README.md` shows works, and is what the README shows.

use std::{env, path::Path};

use paastech_buildpack_harness::App;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/make");

fn app() -> App {
    let exe = env::current_exe().expect("the test's own path");
    let profile = exe.ancestors().nth(2).expect("the test lies in <profile>/deps");
    App::new(&profile.join("examples/make").to_string_lossy(), FIXTURE)
}

#[test]
fn the_page_is_the_one_in_the_readme() {
    let readme = include_str!("../../README.md");
    for page in [include_str!("../examples/make.rs"), include_str!("fixtures/make/buildpack.toml")] {
        assert!(readme.contains(page.trim()), "buildpacks/README.md shows something else than:\n{page}");
    }
    assert!(Path::new(FIXTURE).join("buildpack.toml").is_file());
}

#[test]
fn make_runs_and_its_program_is_started() {
    let app = app().file("Makefile", "server:\n\tcp /bin/true server\n");
    assert!(app.detect().detected());
    let outcome = app.build().built();
    assert!(outcome.says("- Running make\n  cp /bin/true server\n"), "{}", outcome.output);
    assert_eq!(outcome.process("web"), ["./server"]);
}

#[test]
fn a_failing_make_fails_the_build_and_others_are_not_detected() {
    let outcome = app().file("Makefile", "server:\n\tfalse\n").build();
    assert!(outcome.refused().starts_with("Error: make failed (exit status: 2)."), "{}", outcome.output);
    assert!(!app().file("makefile.txt", "").detect().detected());
}
