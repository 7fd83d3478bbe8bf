//! The buildpack as the lifecycle runs it, with the real Node, npm, yarn and pnpm.

use std::path::{Path, PathBuf};

use paastech_buildpack_harness::App;

const START: &str = r#"{ "scripts": { "start": "node server.js" }, "engines": { "node": "22.x" } }"#;

fn app() -> App {
    App::new(env!("CARGO_BIN_EXE_paastech-buildpack-nodejs"), env!("CARGO_MANIFEST_DIR"))
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples").join(name)
}

#[test]
fn node_apps_are_detected_by_package_json() {
    assert!(app().file("package.json", "{}").detect().detected());
    assert!(app().file("package.json", "not JSON").detect().detected());
    assert!(!app().file("server.js", "").detect().detected());
}

#[test]
fn beside_another_language_package_json_must_build_or_start_something() {
    let tools = r#"{ "devDependencies": { "prettier": "3" } }"#;
    assert!(!app().file("package.json", tools).file("go.mod", "").detect().detected());
    let assets = r#"{ "scripts": { "build": "tailwindcss" } }"#;
    assert!(app().file("package.json", assets).file("requirements.txt", "").detect().detected());
    assert!(app().file("package.json", START).file("requirements.txt", "").detect().detected());
}

#[test]
fn an_express_app_is_started_by_its_script_and_what_it_fetched_is_cached() {
    let app = app().sample(&sample("node-express"));
    let first = app.build().built();
    assert_eq!(first.process("web"), ["node", "server.js"]);
    assert!(first.says("engines.node in package.json asks for 22.x"), "{}", first.output);
    assert_eq!(app.layers_for("launch"), ["node"]);
    assert_eq!(app.layers_for("cache"), ["downloads", "node", "node-headers"]);
    assert_eq!(app.start(&first, "web").get("/"), "Hello from node-express\n");

    let second = app.build().built();
    assert!(second.says("- Using cached Node 22."), "{}", second.output);
    assert!(second.says("- Using cached downloads of npm"), "{}", second.output);
    assert!(!second.says("Fetching"), "{}", second.output);

    let lock = std::fs::read_to_string(sample("node-express").join("package.json")).unwrap();
    app.write("package.json", &lock.replace("^5.1.0", "^4.0.0"));
    let stale = app.build();
    assert!(stale.refused().starts_with("Error: npm ci failed"), "{}", stale.output);
    assert!(stale.refused().contains("If the lock file is out of date"), "{}", stale.output);
}

#[test]
fn a_site_that_is_built_needs_no_node_afterwards() {
    let app = app().sample(&sample("node-vite"));
    let outcome = app.build().built();
    assert!(outcome.says("- Building: npm run build"), "{}", outcome.output);
    assert!(app.workspace().join("dist/index.html").is_file());
    assert!(!app.workspace().join("node_modules").exists());
    assert!(outcome.processes().is_empty());
    assert!(app.layers_for("launch").is_empty());
}

#[test]
fn development_packages_are_there_for_the_build_and_gone_after_it() {
    let package = r#"{
        "name": "x", "scripts": { "build": "node -e \"require('ms'); require('isarray')\"", "start": "node server.js" },
        "dependencies": { "ms": "2.1.3" }, "devDependencies": { "isarray": "2.0.5" } }"#;
    let app = app().file("package.json", package).file("server.js", "").variable("NODE_ENV", "production");
    for (name, lock) in [
        ("npm", None),
        ("yarn", Some(("yarn.lock", include_str!("fixtures/yarn-classic.lock")))),
        ("yarn", Some(("yarn.lock", include_str!("fixtures/yarn-modern.lock")))),
        ("pnpm", Some(("pnpm-lock.yaml", include_str!("fixtures/pnpm-lock.yaml")))),
    ] {
        if let Some((file, text)) = lock {
            app.write(file, text);
        }
        let outcome = app.build().built();
        assert!(outcome.says(&format!("- Installing packages with {name}")), "{}", outcome.output);
        let packages = app.workspace().join("node_modules");
        assert!(packages.join("ms").exists(), "{name}: {}", outcome.output);
        assert!(!packages.join("isarray").exists(), "{name}: {}", outcome.output);
        assert_eq!(outcome.says("There is no lock file"), lock.is_none(), "{}", outcome.output);
        if let Some((file, _)) = lock {
            app.remove(file);
        }
    }
}

#[test]
fn versions_that_cannot_be_had_and_several_locks_are_refused() {
    let version = app().file("package.json", START).file(".nvmrc", "16\n").build();
    assert!(version.refused().contains(".nvmrc asks for Node 16"), "{}", version.output);
    assert!(version.refused().contains("These can: 24."), "{}", version.output);
    let locks =
        app().file("package.json", START).file("yarn.lock", "").file("package-lock.json", "{}").build();
    assert!(locks.refused().contains("(package-lock.json, yarn.lock)"), "{}", locks.output);
    let json = app().file("package.json", "{ oh").build();
    assert!(json.refused().starts_with("Error: package.json cannot be read"), "{}", json.output);
}

#[test]
fn a_failing_build_script_fails_the_build() {
    let package = r#"{ "name": "x", "scripts": { "build": "node -e \"process.exit(3)\"" } }"#;
    let outcome = app().file("package.json", package).build();
    assert!(
        outcome.refused().starts_with("Error: npm run build failed (exit status: 3)"),
        "{}",
        outcome.output
    );
}

#[test]
fn packages_that_cannot_be_had_fail_the_build_with_what_to_do() {
    let asks = |package: &str| {
        format!(
            r#"{{ "name": "x", "scripts": {{ "start": "node x" }}, "dependencies": {{ "{package}": "1.0.0" }} }}"#
        )
    };
    let app = app().file("package.json", &asks("paastech-no-such-package"));
    let unknown = app.build();
    assert!(unknown.refused().starts_with("Error: npm install failed"), "{}", unknown.output);
    assert!(unknown.says("paastech-no-such-package"), "{}", unknown.output);

    let lock = r#"{ "name": "x", "lockfileVersion": 3, "packages": { "": { "name": "x" } } }"#;
    app.write("package-lock.json", lock);
    let stale = app.build();
    assert!(stale.refused().starts_with("Error: npm ci failed"), "{}", stale.output);
    assert!(stale.refused().contains("If the lock file is out of date"), "{}", stale.output);
}
