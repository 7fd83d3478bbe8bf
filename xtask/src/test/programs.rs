//! The test programs and binaries of the workspace, compiled once for all parts: a build of fewer packages would
//! choose other features for what they share, and compile that again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{paths, process, test::lints::cargo};

/// What was compiled.
pub(crate) struct Programs {
    tests: Vec<TestProgram>,
    /// The directory of the workspace's binaries.
    pub(crate) binaries: PathBuf,
}

/// One program of tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestProgram {
    /// Its package's directory, where cargo runs it.
    pub(crate) dir: PathBuf,
    /// Its target's name.
    pub(crate) target: String,
    /// From the package's `tests/`; otherwise from its own files.
    pub(crate) is_integration: bool,
    /// The program.
    pub(crate) executable: PathBuf,
}

impl TestProgram {
    /// Whether it belongs to the package in this directory of the checkout.
    pub(crate) fn is_in(&self, dir: &str) -> bool {
        self.dir == paths::workspace().join(dir)
    }

    /// Its name for people: `services/api it`.
    pub(crate) fn name(&self) -> String {
        let dir = self.dir.strip_prefix(paths::workspace()).unwrap_or(&self.dir);
        format!("{} {}", dir.display(), self.target)
    }
}

impl Programs {
    /// Compiles everything.
    pub(crate) async fn compile() -> Result<Self> {
        let mut command = cargo();
        command.args([
            "test",
            "--locked",
            "--workspace",
            "--no-run",
            "--message-format",
            "json-render-diagnostics",
        ]);
        let messages =
            process::stdout_only(&mut command).await.context("the tests do not compile: see above")?;
        let tests: Vec<TestProgram> = messages.lines().filter_map(test_program).collect();
        if tests.is_empty() {
            bail!("cargo compiled no test");
        }
        Ok(Self { tests, binaries: paths::target().join("debug") })
    }

    /// Those that `wanted` accepts.
    pub(crate) fn select(&self, wanted: impl Fn(&TestProgram) -> bool) -> Vec<TestProgram> {
        self.tests.iter().filter(|test| wanted(test)).cloned().collect()
    }
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// A line of cargo's messages, if it announces a program of tests.
fn test_program(line: &str) -> Option<TestProgram> {
    let message: Message = serde_json::from_str(line).ok()?;
    let target = message.target?;
    let is_test = message.reason == "compiler-artifact" && message.profile?.test;
    is_test.then_some(())?;
    Some(TestProgram {
        dir: message.manifest_path.parent().map(Path::to_path_buf)?,
        is_integration: target.kind.iter().any(|kind| kind == "test"),
        target: target.name,
        executable: message.executable?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_tests_is_found_among_cargos_messages() {
        let line = r#"{"reason":"compiler-artifact","manifest_path":"/w/services/api/Cargo.toml",
            "target":{"kind":["test"],"name":"it"},"profile":{"test":true},"executable":"/w/target/debug/deps/it-1"}"#;
        let found = test_program(line).unwrap();
        assert_eq!((found.dir.as_path(), found.target.as_str()), (Path::new("/w/services/api"), "it"));
        assert!(found.is_integration);
        assert_eq!(test_program(&line.replace("\"test\":true", "\"test\":false")), None);
        assert_eq!(test_program(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
