//! Compiling the binaries, with the packages fetched and compiled before.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use libcnb::{Env, build::BuildContext, data::layer_name, layer::UncachedLayerDefinition};
use paastech_buildpack_steps::{Failure, KeptFor, Key, KeyedLayer, Tool, detail, keyed_layer, step};

use crate::{RustBuildpack, programs::Program};

/// A cache that is larger costs more to restore than it saves.
const LARGEST_TARGET: u64 = 1024 * 1024 * 1024;

/// What is kept from build to build.
pub(crate) struct Caches {
    home: KeyedLayer<RustBuildpack>,
    target: KeyedLayer<RustBuildpack>,
}

impl Caches {
    /// The layers `cargo-home` and `target`.
    pub(crate) fn take_up(
        context: &BuildContext<RustBuildpack>,
        compiler: &str,
    ) -> libcnb::Result<Self, Failure> {
        // Packages are source, the same for every compiler.
        let home = keyed_layer(context, layer_name!("cargo-home"), KeptFor::Cache, "1".to_owned())?;
        let key = Key::new(&context.target).with("rustc", compiler).finish();
        let target = keyed_layer(context, layer_name!("target"), KeptFor::Cache, key)?;
        if target.outdated {
            step("What was compiled before is of no use to this compiler");
        }
        for (layer, what) in [(&home, "packages"), (&target, "compiled packages")] {
            if layer.restored {
                step(format!("Using cached {what}"));
            }
        }
        Ok(Self { home, target })
    }

    /// What cargo needs to find them.
    pub(crate) fn environment(&self, env: &Env) -> Env {
        let mut env = env.clone();
        env.insert("CARGO_HOME", self.home.path());
        env.insert("CARGO_TARGET_DIR", self.target.path());
        env.insert("CARGO_INCREMENTAL", "0");
        env.insert("CARGO_TERM_COLOR", "never");
        env.insert("CARGO_TERM_PROGRESS_WHEN", "never");
        env
    }

    fn complete(&self) -> libcnb::Result<(), Failure> {
        let target = self.target.path();
        let size = size(&target).map_err(Failure::io("measure", &target))?;
        if size > LARGEST_TARGET {
            step(format!("Not keeping what was compiled: {} MiB are more than 1024", size / 1024 / 1024));
            empty(&target).map_err(Failure::io("empty", &target))?;
        }
        self.home.complete()?;
        self.target.complete()
    }
}

/// Compiles and fills the layer `programs`.
pub(crate) fn compile(
    context: &BuildContext<RustBuildpack>,
    caches: &Caches,
    programs: &[Program],
    env: &Env,
) -> libcnb::Result<(), Failure> {
    step("Compiling");
    let mut tool = Tool::new("cargo build", "cargo", env).args(["build", "--release", "--locked"]);
    for program in programs {
        tool = tool.args(["--package", &program.package, "--bin", &program.name]);
    }
    tool.current_dir(&context.app_dir)
        .advice("Its output above says why. If Cargo.lock is out of date, run `cargo build` and commit it.")
        .run()?;
    let definition = UncachedLayerDefinition { build: false, launch: true };
    let layer = context.uncached_layer(layer_name!("programs"), definition)?;
    let bin = layer.path().join("bin");
    fs::create_dir_all(&bin).map_err(Failure::io("make", &bin))?;
    for program in programs {
        let compiled = caches.target.join("release").join(&program.name);
        fs::copy(&compiled, bin.join(&program.name)).map_err(Failure::io("copy", &compiled))?;
        detail(&program.name);
    }
    caches.complete()
}

fn size(dir: &Path) -> io::Result<u64> {
    let mut sum = 0;
    let mut open: Vec<PathBuf> = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                open.push(entry.path());
            } else {
                sum += metadata.len();
            }
        }
    }
    Ok(sum)
}

fn empty(dir: &Path) -> io::Result<()> {
    fs::remove_dir_all(dir)?;
    fs::create_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_measured_with_all_below_it_and_emptied() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/b"), [0; 7]).unwrap();
        fs::write(dir.path().join("c"), [0; 3]).unwrap();
        assert_eq!(size(dir.path()).unwrap(), 10);
        empty(dir.path()).unwrap();
        assert_eq!(size(dir.path()).unwrap(), 0);
    }
}
