//! The files that an installation makes at its first start: 32-byte keys, readable by their owner alone, and its id.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

/// A key; wiped from memory when dropped.
pub type Key = Zeroizing<[u8; 32]>;

/// A folder of secrets. Each file is made when it is first asked for, so that a service holds only its own.
#[derive(Debug, Clone)]
pub struct SecretFiles {
    dir: PathBuf,
}

impl SecretFiles {
    /// Makes the folder (0700) if it is absent.
    ///
    /// # Errors
    /// The folder can be neither found nor made.
    pub fn ensure(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(|error| name(&dir, &error))?;
        Ok(Self { dir })
    }

    /// The key that wraps the projects' data keys.
    ///
    /// # Errors
    /// The file is unreadable, malformed or open to others.
    pub fn kek(&self) -> io::Result<Key> {
        self.key("kek")
    }

    /// The seed of the key that signs access tokens.
    ///
    /// # Errors
    /// The file is unreadable, malformed or open to others.
    pub fn jwt(&self) -> io::Result<Key> {
        self.key("jwt")
    }

    /// The key that signs our labels on containers.
    ///
    /// # Errors
    /// The file is unreadable, malformed or open to others.
    pub fn label_hmac(&self) -> io::Result<Key> {
        self.key("label-hmac")
    }

    /// The installation's id, the value of `paastech.instance`: a UUID. No secret, but it lives with them.
    ///
    /// # Errors
    /// The file is unreadable or malformed.
    pub fn instance(&self) -> io::Result<String> {
        let text = self.read_or_make("instance", || uuid::Uuid::now_v7().to_string())?;
        let id = uuid::Uuid::try_parse(text.trim()).map_err(|_| malformed(&self.dir.join("instance")))?;
        Ok(id.to_string())
    }

    /// Another secret, made by `make` when there is none.
    ///
    /// # Errors
    /// The file is unreadable or open to others.
    pub fn text(&self, file: &str, make: impl FnOnce() -> String) -> io::Result<Zeroizing<String>> {
        self.read_or_make(file, make).map(|text| Zeroizing::new(text.trim().to_owned()))
    }

    fn key(&self, file: &str) -> io::Result<Key> {
        let text = Zeroizing::new(self.read_or_make(file, || hex::encode(rand::random::<[u8; 32]>()))?);
        let mut key = Key::default();
        hex::decode_to_slice(text.trim(), key.as_mut_slice()).map_err(|_| malformed(&self.dir.join(file)))?;
        Ok(key)
    }

    fn read_or_make(&self, file: &str, make: impl FnOnce() -> String) -> io::Result<String> {
        let path = self.dir.join(file);
        match read_private(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.publish(&path, &make()).map_err(|error| name(&path, &error))?;
                read_private(&path)
            }
            other => other,
        }
    }

    /// Whole or absent: written aside, then linked to its name. Who comes second keeps what the first one made.
    fn publish(&self, path: &Path, text: &str) -> io::Result<()> {
        let aside = self.dir.join(format!(".new-{}", uuid::Uuid::new_v4()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&aside)?;
        let linked = file
            .write_all(format!("{text}\n").as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::hard_link(&aside, path));
        fs::remove_file(&aside)?;
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }
}

pub(crate) fn read_private(path: &Path) -> io::Result<String> {
    let mode = fs::metadata(path).map_err(|error| name(path, &error))?.permissions().mode();
    if mode & 0o077 != 0 {
        let text = format!("{}: others may read it; `chmod 400` it", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    fs::read_to_string(path).map_err(|error| name(path, &error))
}

fn name(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn malformed(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: not what this program writes", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_finds_the_first_ones_keys() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let files = SecretFiles::ensure(dir.path().join("secrets")).expect("made");
        let again = SecretFiles::ensure(dir.path().join("secrets")).expect("found");
        assert_eq!(files.kek().expect("made"), again.kek().expect("found"));
        assert_ne!(files.kek().expect("found"), files.jwt().expect("made"));
        assert_eq!(files.instance().expect("made"), again.instance().expect("found"));
        let mode = fs::metadata(dir.path().join("secrets/kek")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o400);
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let files = SecretFiles::ensure(dir.path()).expect("made");
        files.jwt().expect("made");
        fs::set_permissions(dir.path().join("jwt"), fs::Permissions::from_mode(0o444)).expect("set");
        assert_eq!(files.jwt().expect_err("refused").kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_broken_key_is_named_and_not_replaced() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let files = SecretFiles::ensure(dir.path()).expect("made");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.path().join("kek"))
            .expect("open");
        file.write_all(b"short").expect("written");
        let error = files.kek().expect_err("refused");
        assert!(error.to_string().contains("kek"), "{error}");
    }
}
