//! Where the programs under test are.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// Names the directory of the built programs.
const DIRECTORY: &str = "PAASTECH_BIN_DIR";
/// Names that of the programs of the commit before.
const PREVIOUS: &str = "PAASTECH_PREVIOUS_BIN_DIR";

/// The path of a program; a missing one is a failure.
pub(crate) fn find(name: &str) -> Result<PathBuf> {
    let path = directory()?.join(name);
    if !path.is_file() {
        bail!("{} is not built: run these tests with `cargo xtask test e2e`", path.display());
    }
    Ok(path)
}

/// Said, or else where cargo puts programs: the parent of the test's own directory.
pub(crate) fn directory() -> Result<PathBuf> {
    if let Some(said) = env::var_os(DIRECTORY) {
        return Ok(said.into());
    }
    let test = env::current_exe()?;
    let target = test.parent().and_then(Path::parent).context("the test lies in no target directory")?;
    Ok(target.to_owned())
}

/// That of the programs from which installations are upgraded: of the commit before, or else these.
pub(crate) fn previous() -> Result<PathBuf> {
    env::var_os(PREVIOUS).map_or_else(directory, |said| Ok(said.into()))
}
