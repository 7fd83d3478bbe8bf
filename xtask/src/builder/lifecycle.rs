//! Upstream's lifecycle, compiled from what `buildpacks/lifecycle` pins by hash.

use std::{fs, path::PathBuf};

use anyhow::{Result, ensure};

use crate::{go, paths};

/// As in `buildpacks/lifecycle/go.mod`; the lifecycle reports it.
pub(crate) const VERSION: &str = "0.20.11";
/// Platform and buildpack APIs that it speaks.
pub(crate) const PLATFORM_APIS: [&str; 3] = ["0.12", "0.13", "0.14"];
/// See [`PLATFORM_APIS`].
pub(crate) const BUILDPACK_APIS: [&str; 2] = ["0.10", "0.11"];
const SOURCE: &str = "buildpacks/lifecycle";
const MODULE: &str = "github.com/buildpacks/lifecycle";

/// The directory with `lifecycle` and `launcher`, compiled unless the cache has them.
pub(crate) async fn ensure() -> Result<PathBuf> {
    let text = fs::read_to_string(paths::workspace().join(SOURCE).join("go.mod"))?;
    ensure!(
        text.contains(&format!("{MODULE} v{VERSION}")),
        "{SOURCE}/go.mod does not pin {MODULE} v{VERSION}"
    );
    let module = go::Module {
        name: &format!("lifecycle {VERSION}"),
        source: SOURCE,
        packages: &["lifecycle", "launcher"].map(|command| format!("{MODULE}/cmd/{command}")),
        flags: &format!("-s -w -X {MODULE}/cmd.Version={VERSION}"),
    };
    module.ensure().await
}
