//! Which directory is the site.

use std::{
    fs,
    path::{Component, Path},
};

use libcnb::Env;
use paastech_buildpack_steps::{Failure, knob};
use serde_json::Value;

const KNOB: &str = "BP_STATIC_ROOT";
/// Where Node's build tools leave a site.
const BUILD_OUTPUTS: [&str; 3] = ["dist", "build", "out"];

/// Whether `find` may succeed once earlier buildpacks have built what they build.
pub(crate) fn may_exist(app: &Path, env: &Env) -> bool {
    if knob(env, KNOB).is_some() {
        return true;
    }
    match package(app) {
        Package::Starts => false,
        Package::Builds => true,
        Package::Plain => app.join("index.html").is_file() || app.join("public").is_dir(),
    }
}

/// The site's directory, relative to the app's.
pub(crate) fn find(app: &Path, env: &Env) -> Result<String, Failure> {
    if let Some(root) = knob(env, KNOB) {
        return named(app, root);
    }
    if matches!(package(app), Package::Builds) {
        let output = BUILD_OUTPUTS.iter().find(|dir| app.join(dir).join("index.html").is_file());
        return output.map(|&dir| dir.to_owned()).ok_or_else(|| {
            Failure::Refused(
                "The build script left no index.html in dist/, build/ or out/. Set BP_STATIC_ROOT to the \
                 directory that it fills, or give package.json a start script."
                    .to_owned(),
            )
        });
    }
    Ok(if app.join("index.html").is_file() { "." } else { "public" }.to_owned())
}

fn named(app: &Path, root: String) -> Result<String, Failure> {
    let inside =
        Path::new(&root).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let refused = |why: &str| Failure::Refused(format!("BP_STATIC_ROOT is `{root}`: {why}."));
    if !inside {
        return Err(refused("it must be a directory inside the app, such as `public`"));
    }
    if !app.join(&root).is_dir() {
        return Err(refused("there is no such directory in the app, nor did the build make it"));
    }
    Ok(root)
}

/// What package.json means for a site.
enum Package {
    /// A server of its own: nothing for this buildpack.
    Starts,
    /// A build whose output is the site.
    Builds,
    /// Neither, or no package.json.
    Plain,
}

fn package(app: &Path) -> Package {
    let Ok(text) = fs::read(app.join("package.json")) else { return Package::Plain };
    let scripts = serde_json::from_slice::<Value>(&text).unwrap_or_default();
    let has = |script: &str| scripts["scripts"][script].is_string();
    if has("start") || app.join("server.js").is_file() {
        Package::Starts
    } else if has("build") {
        Package::Builds
    } else {
        Package::Plain
    }
}
