//! Where things lie: the checkout, the cache and the user's data; the one place here that reads the environment.

use std::{ffi::OsString, fs, path::PathBuf};

use anyhow::{Context, Result};

/// The checkout's root.
pub(crate) fn workspace() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or_else(|| here.clone(), PathBuf::from)
}

/// `${XDG_CACHE_HOME:-$HOME/.cache}/paastech`, made when absent.
pub(crate) fn cache() -> Result<PathBuf> {
    let dir = xdg("XDG_CACHE_HOME", ".cache")?.join("paastech");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}

/// `${XDG_DATA_HOME:-$HOME/.local/share}/paastech`, not made.
pub(crate) fn user_data() -> Result<PathBuf> {
    Ok(xdg("XDG_DATA_HOME", ".local/share")?.join("paastech"))
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    env("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), |dir| workspace().join(dir))
}

/// The cargo that runs us, or the one on the `PATH`.
pub(crate) fn cargo() -> OsString {
    env("CARGO").unwrap_or_else(|| "cargo".into())
}

/// One variable of the environment; an empty one counts as absent.
pub(crate) fn env(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn xdg(variable: &str, under_home: &str) -> Result<PathBuf> {
    if let Some(dir) = env(variable).map(PathBuf::from).filter(|dir| dir.is_absolute()) {
        return Ok(dir);
    }
    let home = env("HOME").with_context(|| format!("neither {variable} nor HOME is set: set one"))?;
    Ok(PathBuf::from(home).join(under_home))
}
