//! Upstream's lifecycle, compiled from what `buildpacks/lifecycle` pins by hash.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};

use crate::{paths, process, progress::Step};

/// As in `buildpacks/lifecycle/go.mod`; the lifecycle reports it.
pub(crate) const VERSION: &str = "0.20.11";
/// Platform and buildpack APIs that it speaks.
pub(crate) const PLATFORM_APIS: [&str; 3] = ["0.12", "0.13", "0.14"];
/// See [`PLATFORM_APIS`].
pub(crate) const BUILDPACK_APIS: [&str; 2] = ["0.10", "0.11"];
const GO_FLOOR: (u32, u32) = (1, 24);
const MODULE: &str = "github.com/buildpacks/lifecycle";

/// The directory with `lifecycle` and `launcher`, compiled unless the cache has them.
pub(crate) async fn ensure() -> Result<PathBuf> {
    let step = Step::new(format!("lifecycle {VERSION}"));
    let source = paths::workspace().join("buildpacks/lifecycle");
    let mut hash = Sha256::new();
    for file in ["go.mod", "go.sum"] {
        let text = fs::read_to_string(source.join(file))?;
        ensure!(
            file == "go.sum" || text.contains(&format!("{MODULE} v{VERSION}")),
            "buildpacks/lifecycle/go.mod does not pin {MODULE} v{VERSION}"
        );
        hash.update(text);
    }
    let cache = paths::cache()?;
    let dir = cache.join(format!("lifecycle-{VERSION}-{}", hex::encode(&hash.finalize()[..8])));
    if dir.is_dir() {
        step.skip("the cache has it");
        return Ok(dir);
    }
    check_go().await?;
    step.note("compiling (about a minute and a half)");
    let part = tempfile::Builder::new().prefix("lifecycle-").tempdir_in(&cache)?;
    let mut build = process::argv(["go", "build", "-mod=readonly", "-trimpath", "-ldflags"]);
    build
        .arg(format!("-s -w -X {MODULE}/cmd.Version={VERSION}"))
        .arg("-o")
        .arg(part.path())
        .args(["lifecycle", "launcher"].map(|command| format!("{MODULE}/cmd/{command}")))
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-buildvcs=false")
        .env("GOTOOLCHAIN", "local")
        .current_dir(&source);
    process::logged(&mut build, &cache.join("lifecycle.log")).await?;
    fs::rename(part.keep(), &dir).with_context(|| format!("cannot put {} in its place", dir.display()))?;
    step.done("compiled");
    Ok(dir)
}

async fn check_go() -> Result<()> {
    ensure!(process::exists("go"), "the lifecycle is compiled with Go 1.24 or later: install it");
    let version =
        process::stdout(process::argv(["go", "env", "GOVERSION"]).env("GOTOOLCHAIN", "local")).await?;
    if go_at_least(version.trim(), GO_FLOOR) {
        return Ok(());
    }
    bail!("the lifecycle needs Go {}.{} or later, and this is {}", GO_FLOOR.0, GO_FLOOR.1, version.trim())
}

fn go_at_least(version: &str, floor: (u32, u32)) -> bool {
    let mut numbers = version.trim_start_matches("go").split('.').map(|part| part.parse::<u32>().ok());
    matches!((numbers.next().flatten(), numbers.next().flatten()), (Some(major), Some(minor)) if (major, minor) >= floor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions_compare_as_numbers() {
        assert!(go_at_least("go1.24.1", GO_FLOOR) && go_at_least("go1.100", GO_FLOOR));
        assert!(!go_at_least("go1.9.2", GO_FLOOR) && !go_at_least("devel", GO_FLOOR));
    }
}
