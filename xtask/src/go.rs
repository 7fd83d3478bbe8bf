//! Programs compiled with Go from small modules of ours that pin them by hash.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};

use crate::{paths, process, progress::Step};

const FLOOR: (u32, u32) = (1, 24);

/// What to compile.
pub(crate) struct Module<'a> {
    /// What it is called in the cache, and to who waits.
    pub(crate) name: &'a str,
    /// Its folder in the checkout, with `go.mod` and `go.sum`.
    pub(crate) source: &'a str,
    /// The packages of the programs.
    pub(crate) packages: &'a [String],
    /// For the linker.
    pub(crate) flags: &'a str,
}

impl Module<'_> {
    /// The folder with the programs, compiled unless the cache has them.
    pub(crate) async fn ensure(&self) -> Result<PathBuf> {
        let step = Step::new(self.name.to_owned());
        let source = paths::workspace().join(self.source);
        let mut hash = Sha256::new();
        for file in ["go.mod", "go.sum"] {
            hash.update(fs::read(source.join(file))?);
        }
        let cache = paths::cache()?;
        let name = self.name.replace(' ', "-");
        let dir = cache.join(format!("{name}-{}", hex::encode(&hash.finalize()[..8])));
        if dir.is_dir() {
            step.skip("the cache has it");
            return Ok(dir);
        }
        check().await?;
        step.note("compiling (up to a minute and a half)");
        let part = tempfile::Builder::new().prefix("go-").tempdir_in(&cache)?;
        let mut build = process::argv(["go", "build", "-mod=readonly", "-trimpath", "-ldflags"]);
        build
            .arg(self.flags)
            .arg("-o")
            .arg(part.path())
            .args(self.packages)
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-buildvcs=false")
            .env("GOTOOLCHAIN", "local")
            .current_dir(&source);
        process::logged(&mut build, &cache.join(format!("{name}.log"))).await?;
        fs::rename(part.keep(), &dir)
            .with_context(|| format!("cannot put {} in its place", dir.display()))?;
        step.done("compiled");
        Ok(dir)
    }
}

async fn check() -> Result<()> {
    let wanted = format!("Go {}.{} or later", FLOOR.0, FLOOR.1);
    ensure!(process::exists("go"), "some of what we need is compiled with {wanted}: install it");
    let version =
        process::stdout(process::argv(["go", "env", "GOVERSION"]).env("GOTOOLCHAIN", "local")).await?;
    if at_least(version.trim(), FLOOR) {
        return Ok(());
    }
    bail!("{wanted} is needed, and this is {}", version.trim())
}

fn at_least(version: &str, floor: (u32, u32)) -> bool {
    let mut numbers = version.trim_start_matches("go").split('.').map(|part| part.parse::<u32>().ok());
    matches!((numbers.next().flatten(), numbers.next().flatten()), (Some(major), Some(minor)) if (major, minor) >= floor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(at_least("go1.24.1", FLOOR) && at_least("go1.100", FLOOR));
        assert!(!at_least("go1.9.2", FLOOR) && !at_least("devel", FLOOR));
    }
}
