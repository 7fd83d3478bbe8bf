//! Units of systemd: what the host does by itself.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::process;

const UNITS: &str = "/etc/systemd/system";
/// There while systemd runs.
const RUNNING: &str = "/run/systemd/system";

/// Writes a unit; with what wants it, systemd starts it whenever it starts that.
pub(crate) fn keep(name: &str, text: &str, wanted_by: Option<&str>) -> Result<()> {
    let unit = Path::new(UNITS).join(name);
    fs::create_dir_all(UNITS).context(UNITS)?;
    fs::write(&unit, text).with_context(|| unit.display().to_string())?;
    let Some(link) = wanted_by.map(|target| link(name, target)) else { return Ok(()) };
    fs::create_dir_all(link.parent().expect("a file is in a folder"))?;
    match symlink(&unit, &link) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| link.display().to_string())
        }
        _ => Ok(()),
    }
}

/// Removes a unit, if it is there.
pub(crate) fn forget(name: &str, wanted_by: Option<&str>) {
    drop(fs::remove_file(Path::new(UNITS).join(name)));
    if let Some(target) = wanted_by {
        drop(fs::remove_file(link(name, target)));
    }
}

/// Has a running systemd read what was written, and start it.
pub(crate) async fn start(name: &str) -> Result<()> {
    if !Path::new(RUNNING).is_dir() {
        return Ok(());
    }
    process::stdout(&mut process::argv(["systemctl", "daemon-reload"])).await?;
    process::stdout(&mut process::argv(["systemctl", "start", name])).await.map(drop)
}

fn link(name: &str, target: &str) -> PathBuf {
    Path::new(UNITS).join(format!("{target}.wants")).join(name)
}
