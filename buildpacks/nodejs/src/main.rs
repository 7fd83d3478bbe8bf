//! The buildpack `paastech/nodejs`: Node by the app's own wish, its packages by its lock file, its build script.

mod install;
mod manager;
mod package;
mod runtime;
mod start;
mod version;

use std::{collections::BTreeMap, path::Path};

use libcnb::{
    Buildpack, Env,
    build::{BuildContext, BuildResult, BuildResultBuilder},
    buildpack_main,
    data::{
        launch::{LaunchBuilder, ProcessBuilder, Slice},
        process_type,
    },
    detect::{DetectContext, DetectResult, DetectResultBuilder},
    generic::GenericPlatform,
};
use paastech_buildpack_steps::{Failure, Toolchain, environment, flag, report, step};
use serde::Deserialize;

use crate::{manager::Manager, package::Package};

struct NodeBuildpack;

/// What `buildpack.toml` pins.
#[derive(Deserialize)]
struct Metadata {
    node: Toolchain,
    /// The package managers that Node does not bring, by name.
    managers: BTreeMap<String, String>,
}

/// Manifests of languages whose projects often have a package.json for their tools alone.
const OTHER_LANGUAGES: [&str; 6] =
    ["requirements.txt", "pyproject.toml", "setup.py", "Pipfile", "go.mod", "Cargo.toml"];

impl Buildpack for NodeBuildpack {
    type Platform = GenericPlatform;
    type Metadata = Metadata;
    type Error = Failure;

    fn detect(&self, context: DetectContext<Self>) -> libcnb::Result<DetectResult, Failure> {
        if is_node(&context.app_dir) {
            DetectResultBuilder::pass().build()
        } else {
            DetectResultBuilder::fail().build()
        }
    }

    fn build(&self, context: BuildContext<Self>) -> libcnb::Result<BuildResult, Failure> {
        let app = &context.app_dir;
        let package = Package::read(app)?;
        let env = environment(&context.platform);
        let manager = Manager::find(app, &package)?;
        let launched = start::is_launched(app, &package) || flag(&env, "BP_NODE_LAUNCH");
        let env = runtime::provide(&context, &package, launched, &env)?;
        let env = manager::provide(&context, &manager, &env)?;
        let wishes = install::Wishes::of(app, &package, launched, &env);
        install::install(&context, &package, &manager, &wishes, &env)?;
        let mut launch = LaunchBuilder::new();
        if let Some(argv) = start::process(app, &package) {
            step(format!("Process web: {}", argv.join(" ")));
            launch.process(ProcessBuilder::new(process_type!("web"), argv).default(true).build());
        }
        // Exported apart from the app's own files, the packages are the same layer in every release that has the same.
        launch.slice(Slice { path_globs: vec!["node_modules/**".to_owned()] });
        BuildResultBuilder::new().launch(launch.build()).build()
    }

    fn on_error(&self, error: libcnb::Error<Failure>) {
        report(&error);
    }
}

/// Beside another language, package.json counts when it builds or starts something.
fn is_node(app: &Path) -> bool {
    if !app.join("package.json").is_file() {
        return false;
    }
    // One that cannot be read is a Node app too: its build says what is wrong with it.
    let Ok(package) = Package::read(app) else { return true };
    !has_other_language(app) || package.script("build").is_some() || start::is_launched(app, &package)
}

fn has_other_language(app: &Path) -> bool {
    OTHER_LANGUAGES.iter().any(|manifest| app.join(manifest).is_file())
}

/// What tools of this buildpack see first.
fn with_path(env: &Env, bin: &Path) -> Env {
    let mut env = env.clone();
    let rest = env.get("PATH").cloned().unwrap_or_default();
    let path = [bin.as_os_str(), &rest].join(std::ffi::OsStr::new(":"));
    env.insert("PATH", path);
    env
}

buildpack_main!(NodeBuildpack);
