//! The files that an installation makes at its first start: 32-byte keys, readable by their owner alone, and its id.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

/// Only while a rotation is under way.
const OLD_KEK: &str = "kek-old";

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

    /// The key that wrapped them before, while some may still be wrapped by it.
    ///
    /// # Errors
    /// The file is unreadable, malformed or open to others.
    pub fn old_kek(&self) -> io::Result<Option<Key>> {
        self.stored(OLD_KEK)
    }

    /// Makes a new `kek`, and the one before the old one, until [`Self::drop_old_kek`]. While there is an old one, nothing
    /// changes.
    ///
    /// # Errors
    /// There is no `kek`, or the folder cannot be written.
    pub fn rotate_kek(&self) -> io::Result<()> {
        let (kek, old) = (self.dir.join("kek"), self.dir.join(OLD_KEK));
        let _taken = self.lock(File::lock)?;
        let is_made = match self.old_kek()? {
            // Kept twice: the new one is not made yet.
            Some(held) => held != self.stored("kek")?.ok_or_else(|| absent(&kek))?,
            None => fs::hard_link(&kek, &old).map(|()| false).map_err(|error| name(&old, &error))?,
        };
        if is_made { Ok(()) } else { self.replace("kek", &new_key()) }
    }

    /// Destroys the old one.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn drop_old_kek(&self) -> io::Result<()> {
        let _taken = self.lock(File::lock)?;
        self.remove(OLD_KEK)
    }

    /// As long as the file is held, no rotation replaces `kek` and none destroys the old one. Other secrets it does not
    /// hold, nor what [`Self::replace`] and [`Self::remove`] do.
    ///
    /// # Errors
    /// The folder cannot be opened.
    pub fn hold(&self) -> io::Result<File> {
        self.lock(File::lock_shared)
    }

    /// Makes a new `jwt`.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn rotate_jwt(&self) -> io::Result<()> {
        self.replace("jwt", &new_key())
    }

    /// Changes when `jwt` has been replaced.
    #[must_use]
    pub fn jwt_stamp(&self) -> Option<(u64, i64, i64)> {
        let found = fs::metadata(self.dir.join("jwt")).ok()?;
        Some((found.ino(), found.mtime(), found.mtime_nsec()))
    }

    /// The text of a secret, if there is one: for a backup.
    ///
    /// # Errors
    /// The file is unreadable or open to others.
    pub fn get(&self, file: &str) -> io::Result<Option<Zeroizing<String>>> {
        match read_private(&self.dir.join(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(|text| Some(Zeroizing::new(text.trim().to_owned()))),
        }
    }

    /// Writes a secret over what is there: whole, and never open to others.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn replace(&self, file: &str, text: &str) -> io::Result<()> {
        let (path, aside) = (self.dir.join(file), self.aside(text)?);
        let renamed = fs::rename(&aside, &path).map_err(|error| name(&path, &error));
        if renamed.is_err() {
            fs::remove_file(&aside)?;
        }
        renamed.and_then(|()| File::open(&self.dir)?.sync_all())
    }

    /// Removes a secret.
    ///
    /// # Errors
    /// It is not there, or the folder cannot be written.
    pub fn remove(&self, file: &str) -> io::Result<()> {
        let path = self.dir.join(file);
        fs::remove_file(&path).map_err(|error| name(&path, &error))?;
        File::open(&self.dir)?.sync_all()
    }

    fn lock(&self, how: impl FnOnce(&File) -> io::Result<()>) -> io::Result<File> {
        let dir = File::open(&self.dir).map_err(|error| name(&self.dir, &error))?;
        how(&dir)?;
        Ok(dir)
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

    /// A key that is there; none is made.
    fn stored(&self, file: &str) -> io::Result<Option<Key>> {
        let Some(text) = self.get(file)? else { return Ok(None) };
        parse_key(&text).map(Some).ok_or_else(|| malformed(&self.dir.join(file)))
    }

    fn key(&self, file: &str) -> io::Result<Key> {
        let text = Zeroizing::new(self.read_or_make(file, || new_key().to_string())?);
        parse_key(&text).ok_or_else(|| malformed(&self.dir.join(file)))
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
        let aside = self.aside(text)?;
        let linked = fs::hard_link(&aside, path);
        fs::remove_file(&aside)?;
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// A file of the folder, on disk, under a name of its own.
    fn aside(&self, text: &str) -> io::Result<PathBuf> {
        let aside = self.dir.join(format!(".new-{}", uuid::Uuid::new_v4()));
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&aside);
        let mut file = opened.map_err(|error| name(&self.dir, &error))?;
        let written = file.write_all(format!("{text}\n").as_bytes()).and_then(|()| file.sync_all());
        if let Err(error) = written {
            fs::remove_file(&aside)?;
            return Err(name(&self.dir, &error));
        }
        Ok(aside)
    }
}

/// 64 hex digits; None when it is anything else.
#[must_use]
pub fn parse_key(text: &str) -> Option<Key> {
    let mut key = Key::default();
    hex::decode_to_slice(text.trim(), key.as_mut_slice()).ok()?;
    Some(key)
}

fn new_key() -> Zeroizing<String> {
    Zeroizing::new(hex::encode(rand::random::<[u8; 32]>()))
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

fn absent(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{}: it is not there", path.display()))
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
    fn a_rotation_that_was_cut_off_goes_on_with_the_same_keys() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let files = SecretFiles::ensure(dir.path()).expect("made");
        let first = files.kek().expect("made");
        fs::hard_link(dir.path().join("kek"), dir.path().join(OLD_KEK)).expect("cut off before the new one");
        files.rotate_kek().expect("rotated");
        let second = files.kek().expect("there");
        assert_ne!(second, first);
        files.rotate_kek().expect("goes on");
        assert_eq!((files.kek().expect("there"), files.old_kek().expect("there")), (second, Some(first)));
        files.drop_old_kek().expect("dropped");
        assert_eq!(files.old_kek().expect("gone"), None);
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1, "the new key alone");
    }

    #[test]
    fn a_key_that_is_lost_is_not_made_anew_by_a_rotation() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = SecretFiles::ensure(dir.path()).expect("made");
        for old in [false, true] {
            if old {
                files.replace(OLD_KEK, &new_key()).expect("written");
            }
            assert_eq!(files.rotate_kek().expect_err("lost").kind(), io::ErrorKind::NotFound);
            assert!(files.get("kek").expect("readable").is_none(), "none is made");
        }
    }

    #[test]
    fn an_old_key_that_cannot_be_read_is_neither_absent_nor_made() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = SecretFiles::ensure(dir.path()).expect("made");
        let old = dir.path().join(OLD_KEK);
        assert_eq!(files.old_kek().expect("absent"), None);
        std::os::unix::fs::symlink(&old, &old).expect("a link to itself");
        files.old_kek().expect_err("it cannot be read");
        fs::remove_file(&old).expect("removed");
        files.replace(OLD_KEK, "short").expect("written");
        assert_eq!(files.old_kek().expect_err("malformed").kind(), io::ErrorKind::InvalidData);
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
