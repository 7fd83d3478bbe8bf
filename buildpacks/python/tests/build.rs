//! The buildpack as the lifecycle runs it, with the real pip, uv and Poetry.

use std::{path::Path, process::Command};

use paastech_buildpack_harness::App;

const FLASK: &str = "\
from flask import Flask

app = Flask(__name__)


@app.get('/')
def hello():
    return 'Hello from a test'
";

fn app() -> App {
    App::new(env!("CARGO_BIN_EXE_paastech-buildpack-python"), env!("CARGO_MANIFEST_DIR"))
}

/// A program of the built environment, with what it prints.
#[expect(clippy::disallowed_methods, reason = "asks the environment that was built")]
fn python(app: &App, program: &str) -> String {
    let done =
        Command::new(app.layer("venv").join("bin/python")).args(["-c", program]).output().expect("it starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

#[test]
fn python_apps_are_detected_by_what_lists_their_packages() {
    for file in ["requirements.txt", "setup.py", "Pipfile"] {
        assert!(app().file(file, "").detect().detected(), "{file}");
    }
    assert!(app().file("pyproject.toml", "[project]\nname = 'app'").detect().detected());
    assert!(app().file("pyproject.toml", "not TOML").detect().detected());
    assert!(!app().file("pyproject.toml", "[tool.ruff]\n").detect().detected());
    assert!(!app().file("main.py", "").detect().detected());
}

#[test]
fn a_flask_app_is_served_and_its_packages_are_cached() {
    let app = app().file("requirements.txt", "flask==3.1.2\ngunicorn==23.0.0\n").file("app.py", FLASK);
    let first = app.build().built();
    assert_eq!(first.process("web"), ["gunicorn", "app:app"]);
    assert_eq!(first.default_process().as_deref(), Some("web"));
    assert_eq!(app.layers_for("launch"), ["venv"]);
    assert_eq!(app.layers_for("cache"), ["pip-cache", "venv"]);
    assert_eq!(app.start(&first, "web").get("/"), "Hello from a test");

    app.write("app.py", &FLASK.replace("a test", "the second release"));
    let second = app.build().built();
    assert!(second.says("- Using cached packages"), "{}", second.output);
    assert!(!second.says("pip install") && !second.says("Installing"), "{}", second.output);
    assert_eq!(app.start(&second, "web").get("/"), "Hello from the second release");

    app.write("requirements.txt", "flask==3.1.2\n");
    let third = app.build().built();
    assert!(third.says("the cached virtual environment is not used"), "{}", third.output);
    // The index decides whether pip may keep downloads.
    let kept = std::fs::read_dir(app.layer("pip-cache")).unwrap().next().is_some();
    assert_eq!(third.says("- Using cached downloads of pip"), kept, "{}", third.output);
    assert_eq!(third.process("web"), ["python", "app.py"]);
    assert!(third.says("Add gunicorn"), "{}", third.output);
}

#[test]
fn the_list_in_pyproject_is_installed_and_the_app_with_it() {
    let project = "\
[project]
name = 'shop'
version = '1.0'
dependencies = ['itsdangerous==2.2.0']

[build-system]
requires = ['setuptools']
build-backend = 'setuptools.build_meta'
";
    let app = app().file("pyproject.toml", project).file("src/shop/__init__.py", "NAME = 'the shop'\n");
    app.build().built();
    assert_eq!(python(&app, "import itsdangerous, shop; print(shop.NAME)"), "the shop");
    let second = app.build().built();
    assert!(second.says("- Using cached packages"), "{}", second.output);
}

#[test]
fn poetrys_lock_is_installed_as_it_is_locked() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/poetry");
    let app = app().sample(&fixture);
    let first = app.build().built();
    assert!(first.says("poetry.lock"), "{}", first.output);
    let version = "from importlib.metadata import version; print(version('itsdangerous'))";
    assert_eq!(python(&app, version), "2.2.0");
    assert!(app.build().built().says("- Using cached packages"));

    app.write("pyproject.toml", "[project]\nname = 'x'\nversion = '1'\ndependencies = ['flask (==3.1.2)']\n");
    let stale = app.build();
    assert!(stale.refused().contains("lock again and commit it"), "{}", stale.output);
    assert!(stale.says("- Using cached poetry=="), "{}", stale.output);
}

#[test]
fn uvs_lock_is_installed_as_it_is_locked() {
    let project = "[project]\nname = 'x'\nversion = '1'\nrequires-python = '>=3.11'\n\
                   dependencies = ['itsdangerous==2.1.2']\n";
    let app = app().file("pyproject.toml", project).file("uv.lock", "version = 1\nrevision = 3\n");
    let stale = app.build();
    assert!(stale.refused().starts_with("Error: uv export failed"), "{}", stale.output);

    let lock = lock_with_uv(&app);
    app.write("uv.lock", &lock);
    let built = app.build().built();
    assert!(built.says("Installing the packages of uv.lock"), "{}", built.output);
    assert_eq!(
        python(&app, "from importlib.metadata import version; print(version('itsdangerous'))"),
        "2.1.2"
    );
}

/// Made on the spot: such a file names the index that it was locked with. The failed build left its uv behind.
#[expect(clippy::disallowed_methods, reason = "locks as the app's author would")]
fn lock_with_uv(app: &App) -> String {
    let mut command = Command::new(app.layer("uv").join("bin/uv"));
    let workspace = app.workspace();
    std::fs::remove_file(workspace.join("uv.lock")).expect("a lock file");
    let done = command
        .args(["lock", "--no-cache", "--python", "python3"])
        .current_dir(&workspace)
        .output()
        .expect("it starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    std::fs::read_to_string(workspace.join("uv.lock")).expect("a lock file")
}

#[test]
fn a_package_that_does_not_exist_fails_the_build_with_what_to_do() {
    let outcome = app().file("requirements.txt", "paastech-no-such-package==1.0\n").build();
    let error = outcome.refused();
    assert!(error.starts_with("Error: pip install failed (exit status: 1)."), "{}", outcome.output);
    assert!(error.contains("Correct requirements.txt"), "{}", outcome.output);
    assert!(outcome.says("paastech-no-such-package"), "{}", outcome.output);
}

#[test]
fn another_python_is_refused_with_the_one_there_is() {
    let file = app().file("requirements.txt", "").file(".python-version", "3.12\n").build();
    assert!(
        file.refused()
            .contains(".python-version asks for Python 3.12, and the Python that can be had is 3.11")
    );
    let project = "[project]\nname = 'x'\nrequires-python = '>=3.13'\n";
    let specifier = app().file("pyproject.toml", project).build();
    assert!(specifier.refused().contains("requires-python in pyproject.toml asks for Python >=3.13"));
}

#[test]
fn files_that_are_not_read_say_what_to_do() {
    assert!(app().file("Pipfile", "").build().refused().contains("pipenv requirements > requirements.txt"));
    assert!(app().file("pyproject.toml", "[project\n").build().refused().contains("not valid TOML"));
    let named = app().file("requirements.txt", "").variable("BP_PYTHON_REQUIREMENTS", "gone.txt").build();
    assert!(named.refused().contains("BP_PYTHON_REQUIREMENTS is `gone.txt`"));
    let collect = app().file("requirements.txt", "").variable("BP_COLLECTSTATIC", "1").build();
    assert!(collect.refused().contains("no manage.py"), "{}", collect.output);
}
