//! The one data directory, and the lock that keeps a second process out of it.

use std::{
    fs::{self, DirBuilder, File},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
};

use anyhow::{Context as _, bail};
use rustix::fs::{FlockOperation, flock};

/// Held as long as the process lives.
pub struct DataDirLock {
    _file: File,
}

/// Makes the directory if it is absent, and takes it for this process.
///
/// # Errors
/// Another process has it, or it cannot be written.
pub fn lock(path: &Path) -> anyhow::Result<DataDirLock> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("data directory {} cannot be made", path.display()))?;
    let file_path = path.join("lock");
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&file_path)
        .with_context(|| format!("{} cannot be opened", file_path.display()))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        bail!("another paastechd already uses the data directory {}: stop it first", path.display());
    }
    Ok(DataDirLock { _file: file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_kept_out_until_the_first_ends() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = lock(dir.path()).expect("the first");
        let second = lock(dir.path()).err().expect("the second is refused");
        assert!(second.to_string().contains("another paastechd"), "{second}");
        drop(first);
        lock(dir.path()).expect("free again");
    }
}
