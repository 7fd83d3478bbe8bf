//! The repository's Python samples, built and asked.

use std::path::Path;

use paastech_buildpack_harness::App;

fn sample(name: &str) -> App {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples").join(name);
    App::new(env!("CARGO_BIN_EXE_paastech-buildpack-python"), env!("CARGO_MANIFEST_DIR")).sample(&dir)
}

#[test]
fn django_is_served_with_its_static_files_collected() {
    let app = sample("python-django").variable("BP_COLLECTSTATIC", "1");
    let outcome = app.build().built();
    assert!(outcome.says("1 static file copied"), "{}", outcome.output);
    assert_eq!(outcome.process("web"), ["gunicorn", "hello.wsgi:application"]);
    let running = app.start(&outcome, "web");
    assert_eq!(running.get("/"), "Hello from python-django\n");
    assert!(running.get("/static/style.css").starts_with("body"));
}

#[test]
fn flask_is_served() {
    let app = sample("python-flask");
    let outcome = app.build().built();
    assert_eq!(outcome.process("web"), ["gunicorn", "app:app"]);
    assert_eq!(app.start(&outcome, "web").get("/"), "Hello from python-flask\n");
}
