//! What the command takes from its environment; nothing else reads it.

use std::path::PathBuf;

/// A variable's text, if it is set to something.
pub(crate) fn text(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok().filter(|text| !text.is_empty())
}

/// The user's home.
pub(crate) fn home() -> Option<PathBuf> {
    absolute("HOME")
}

/// Where our settings and tokens lie.
pub(crate) fn config_dir() -> Option<PathBuf> {
    Some(absolute("XDG_CONFIG_HOME").or_else(|| Some(home()?.join(".config")))?.join("paastech"))
}

/// Where a daemon that runs as this user keeps its data.
pub(crate) fn data_dir() -> Option<PathBuf> {
    Some(absolute("XDG_DATA_HOME").or_else(|| Some(home()?.join(".local/share")))?.join("paastech"))
}

/// The program of this name, searched as a shell would.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The XDG rules say that a relative path counts as unset.
fn absolute(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}
