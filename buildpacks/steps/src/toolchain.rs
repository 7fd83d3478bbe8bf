//! Toolchains that come as Python wheels from the operator's index, pinned by version and hash in `buildpack.toml`.

use std::{io::Write, path::Path};

use libcnb::{Env, Target};
use semver::Version;
use serde::Deserialize;

use crate::{Failure, Tool};

/// One toolchain's table in `buildpack.toml`: the package that holds it and the versions that can be had.
#[derive(Debug, Clone, Deserialize)]
pub struct Toolchain {
    /// The name of the package in the index.
    pub package: String,
    /// What is pinned, in any order.
    pub wheels: Vec<Wheel>,
}

/// One version for one machine.
#[derive(Debug, Clone, Deserialize)]
pub struct Wheel {
    /// The toolchain's version, which is the package's.
    pub version: Version,
    /// The architecture as `CNB_TARGET_ARCH` spells it.
    pub arch: String,
    /// The hash of the wheel, hexadecimal.
    pub sha256: String,
}

impl Toolchain {
    /// The wheels for this machine, the newest first.
    pub fn available(&self, target: &Target) -> Vec<&Wheel> {
        let mut wheels: Vec<&Wheel> = self.wheels.iter().filter(|wheel| wheel.arch == target.arch).collect();
        wheels.sort_by(|one, other| other.version.cmp(&one.version));
        wheels
    }

    /// Installs a wheel's files into `dir` without a Python environment around them.
    pub fn install(&self, wheel: &Wheel, dir: &Path, env: &Env) -> Result<(), Failure> {
        let mut requirements = tempfile::NamedTempFile::new()
            .map_err(|source| Failure::Io { action: "make a temporary file".to_owned(), source })?;
        writeln!(requirements, "{}=={} --hash=sha256:{}", self.package, wheel.version, wheel.sha256)
            .map_err(Failure::io("write", requirements.path()))?;
        let name = format!("the download of {} {}", self.package, wheel.version);
        Tool::new(&name, "python3", env)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"])
            .args(["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-cache-dir", "--no-compile"])
            .args(["--root-user-action=ignore", "--requirement"])
            .arg(requirements.path())
            .arg("--target")
            .arg(dir)
            .advice("The package index of this installation must be reachable and have this version: ask its operator.")
            .run()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wheels_for_this_machine_are_offered_the_newest_first() {
        let toolchain: Toolchain = toml::from_str(
            r#"
            package = "some-bin"
            wheels = [
                { version = "1.9.0", arch = "amd64", sha256 = "" },
                { version = "1.11.0", arch = "arm64", sha256 = "" },
                { version = "1.10.0", arch = "amd64", sha256 = "" },
            ]"#,
        )
        .unwrap();
        let target = Target {
            os: "linux".to_owned(),
            arch: "amd64".to_owned(),
            arch_variant: None,
            distro_name: "debian".to_owned(),
            distro_version: "12".to_owned(),
        };
        let versions: Vec<String> =
            toolchain.available(&target).iter().map(|wheel| wheel.version.to_string()).collect();
        assert_eq!(versions, ["1.10.0", "1.9.0"]);
    }
}
