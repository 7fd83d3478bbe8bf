//! An app's source and everything that the lifecycle would lay around it.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;
use toml::Table;

use crate::{Outcome, launch::Running};

/// What a build's environment may keep of ours: where tools are and how they reach the network.
const KEPT: [&str; 9] =
    ["PATH", "LANG", "PIP_", "SSL_CERT_", "NODE_EXTRA_CA_CERTS", "HTTP", "http", "NO_PROXY", "RUSTUP_"];

/// One app built by one buildpack. All of it is gone on drop.
pub struct App {
    root: TempDir,
    variables: BTreeMap<String, String>,
}

impl App {
    /// An empty app for the buildpack whose program and crate directory are given.
    pub fn new(program: &str, manifest_dir: &str) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        for dir in ["source", "workspace", "layers", "platform/env", "buildpack/bin", "home"] {
            fs::create_dir_all(root.path().join(dir)).expect("a directory");
        }
        let bin = root.path().join("buildpack/bin");
        symlink(program, bin.join("build")).expect("a link");
        symlink("build", bin.join("detect")).expect("a link");
        let descriptor = Path::new(manifest_dir).join("buildpack.toml");
        fs::copy(descriptor, root.path().join("buildpack/buildpack.toml")).expect("a buildpack.toml");
        Self { root, variables: BTreeMap::new() }
    }

    /// Writes a file of the source.
    #[must_use]
    pub fn file(self, path: &str, content: &str) -> Self {
        self.write(path, content);
        self
    }

    /// Takes a directory of the repository as the source.
    #[must_use]
    pub fn sample(self, dir: &Path) -> Self {
        copy(dir, &self.root.path().join("source"));
        self
    }

    /// Sets a build variable, as the user would.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        fs::write(self.root.path().join("platform/env").join(name), value).expect("a variable");
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Puts a file into the buildpack's own directory.
    #[must_use]
    pub fn buildpack_file(self, path: &str, from: &Path) -> Self {
        fs::copy(from, self.root.path().join("buildpack").join(path)).expect("a file of the buildpack");
        self
    }

    /// Changes the source between two builds.
    pub fn write(&self, path: &str, content: &str) {
        let path = self.root.path().join("source").join(path);
        fs::create_dir_all(path.parent().expect("a file lies in a directory")).expect("a directory");
        fs::write(path, content).expect("a file of the source");
    }

    /// Removes a file of the source between two builds.
    pub fn remove(&self, path: &str) {
        fs::remove_file(self.root.path().join("source").join(path)).expect("a file of the source");
    }

    /// The directory of the app as the last build left it.
    pub fn workspace(&self) -> PathBuf {
        self.root.path().join("workspace")
    }

    /// A layer's directory.
    pub fn layer(&self, name: &str) -> PathBuf {
        self.layers().join(name)
    }

    /// The names of the layers with a flag: `build`, `launch` or `cache`.
    pub fn layers_for(&self, flag: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .layer_files()
            .into_iter()
            .filter(|(_, table)| is_set(table, flag))
            .map(|(name, _)| name)
            .collect();
        names.sort_unstable();
        names
    }

    /// Runs `detect` on a fresh checkout.
    pub fn detect(&self) -> Outcome {
        self.check_out();
        let plan = self.root.path().join("plan.toml");
        let platform = self.root.path().join("platform");
        let mut command = self.command("detect");
        command.args([&platform, &plan]).env("CNB_BUILD_PLAN_PATH", &plan);
        Outcome::of(&mut command, &self.layers())
    }

    /// Runs `build` on a fresh checkout, with what the last build cached.
    pub fn build(&self) -> Outcome {
        self.check_out();
        self.restore();
        let plan = self.root.path().join("buildpack-plan.toml");
        fs::write(&plan, "").expect("a plan");
        let (layers, platform) = (self.layers(), self.root.path().join("platform"));
        let mut command = self.command("build");
        command
            .args([&layers, &platform, &plan])
            .env("CNB_LAYERS_DIR", &layers)
            .env("CNB_BP_PLAN_PATH", &plan);
        Outcome::of(&mut command, &layers)
    }

    /// Starts a process of the last build as the launcher would, with `PORT` set, and waits until it listens.
    pub fn start(&self, outcome: &Outcome, process: &str) -> Running {
        let process = outcome.process(process);
        Running::start(&process, &self.workspace(), &self.layers(), self.environment())
    }

    fn layers(&self) -> PathBuf {
        self.root.path().join("layers")
    }

    #[expect(clippy::disallowed_methods, reason = "the place of the harness that starts buildpacks")]
    fn command(&self, phase: &str) -> Command {
        let root = self.root.path();
        let mut command = Command::new(root.join("buildpack/bin").join(phase));
        command
            .current_dir(self.workspace())
            .stdin(Stdio::null())
            .env_clear()
            .envs(self.environment())
            .envs(&self.variables)
            .env("CNB_BUILDPACK_DIR", root.join("buildpack"))
            .env("CNB_PLATFORM_DIR", root.join("platform"))
            .env("CNB_TARGET_OS", "linux")
            .env("CNB_TARGET_ARCH", "amd64")
            .env("CNB_TARGET_DISTRO_NAME", "debian")
            .env("CNB_TARGET_DISTRO_VERSION", "12");
        command
    }

    fn environment(&self) -> Vec<(OsString, OsString)> {
        let mut kept: Vec<(OsString, OsString)> = env::vars_os()
            .filter(|(name, _)| KEPT.iter().any(|kept| name.to_string_lossy().starts_with(kept)))
            .collect();
        let home = self.root.path().join("home");
        if let Some(real) = env::var_os("HOME").filter(|_| env::var_os("RUSTUP_HOME").is_none()) {
            kept.push(("RUSTUP_HOME".into(), Path::new(&real).join(".rustup").into()));
        }
        kept.push(("HOME".into(), home.into()));
        kept
    }

    fn check_out(&self) {
        let workspace = self.workspace();
        fs::remove_dir_all(&workspace).expect("the workspace can be emptied");
        copy(&self.root.path().join("source"), &workspace);
    }

    /// Keeps cached layers with their metadata and takes their flags off; all else of the last build goes.
    fn restore(&self) {
        for (name, mut table) in self.layer_files() {
            let file = self.layers().join(format!("{name}.toml"));
            if is_set(&table, "cache") {
                table.remove("types");
                fs::write(file, table.to_string()).expect("a layer's metadata");
            } else {
                let _absent_before = fs::remove_dir_all(self.layer(&name));
                fs::remove_file(file).expect("a layer's metadata");
            }
        }
        for left in ["launch.toml", "build.toml"] {
            let _absent_before = fs::remove_file(self.layers().join(left));
        }
    }

    fn layer_files(&self) -> Vec<(String, Table)> {
        let entries = fs::read_dir(self.layers()).expect("the layers");
        entries
            .filter_map(|entry| {
                let path = entry.expect("an entry").path();
                let name = path.file_name()?.to_str()?.strip_suffix(".toml")?.to_owned();
                let reserved = ["launch", "build", "store"].contains(&name.as_str());
                let text = fs::read_to_string(&path).expect("a layer's metadata");
                (!reserved).then(|| (name, text.parse().expect("TOML")))
            })
            .collect()
    }
}

fn is_set(layer: &Table, flag: &str) -> bool {
    layer.get("types").and_then(|types| types.get(flag)).and_then(toml::Value::as_bool) == Some(true)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory of the source") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a file type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file of the source");
        }
    }
}
