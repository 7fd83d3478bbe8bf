//! The saved log-ins: `credentials.toml`, readable by its owner only, replaced whole, changed under a lock.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use crate::{
    environment,
    error::{Error, Result},
    when,
};

/// What the file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// The API of the last log-in: the one that is meant when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// A log-in for each API's URL.
    #[serde(default)]
    pub(crate) api: BTreeMap<String, Session>,
}

/// One log-in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) email: String,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    /// When the access token ends, in milliseconds since 1970.
    pub(crate) expires_at: i64,
}

impl Session {
    /// Whether the access token is used up, or nearly.
    pub(crate) fn is_stale(&self) -> bool {
        self.expires_at - when::now() < 30_000
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("email", &self.email).finish_non_exhaustive()
    }
}

/// The file and its lock.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    folder: PathBuf,
}

/// Held while the file is read, changed and written. Dropping it lets the next command go on.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    store: &'a Store,
    _lock: File,
}

impl Store {
    /// The user's own.
    pub(crate) fn open() -> Result<Self> {
        environment::config_dir()
            .map(|folder| Self { folder })
            .ok_or_else(|| Error::usage("neither HOME nor XDG_CONFIG_HOME is set: nowhere to keep a log-in"))
    }

    /// What is saved; nothing, where there is no file.
    pub(crate) fn load(&self) -> Result<Credentials> {
        let path = self.path();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Credentials::default()),
            Err(error) => return Err(Error::io(format!("read {}", path.display()))(error)),
        };
        // The parser's own message quotes the line, which may be a token.
        toml::from_str(&text).map_err(|_| {
            Error::usage_hint(
                format!("{} is not as `paastech login` wrote it", path.display()),
                "remove it and log in again",
            )
        })
    }

    /// Waits for any other command that is changing the file.
    pub(crate) fn lock(&self) -> Result<Locked<'_>> {
        let doing = || format!("lock {}", self.folder.display());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(Error::io(doing()))?;
        let lock = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.folder.join("credentials.lock"))
            .map_err(Error::io(doing()))?;
        lock.lock().map_err(Error::io(doing()))?;
        Ok(Locked { store: self, _lock: lock })
    }

    /// Changes what is saved.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Credentials)) -> Result<()> {
        let locked = self.lock()?;
        let mut credentials = self.load()?;
        change(&mut credentials);
        locked.save(&credentials)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("credentials.toml")
    }
}

impl Locked<'_> {
    /// Puts a new file in the place of the old one: a reader sees either.
    pub(crate) fn save(&self, credentials: &Credentials) -> Result<()> {
        let path = self.store.path();
        let doing = || format!("write {}", path.display());
        let text = toml::to_string(credentials).expect("strings and numbers are TOML");
        // A temporary file is made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(&self.store.folder).map_err(Error::io(doing()))?;
        file.write_all(text.as_bytes()).map_err(Error::io(doing()))?;
        file.as_file().sync_all().map_err(Error::io(doing()))?;
        file.persist(&path).map_err(|error| Error::io(doing())(error.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn session() -> Session {
        Session {
            email: "a@example.org".to_owned(),
            access_token: "access".to_owned(),
            refresh_token: "refresh".to_owned(),
            expires_at: 0,
        }
    }

    #[test]
    fn reads_back_what_it_saved_in_a_file_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store { folder: folder.path().join("new") };
        assert_eq!(store.load().unwrap(), Credentials::default());
        store
            .update(|credentials| {
                credentials.current = Some("https://a.example".to_owned());
                credentials.api.insert("https://a.example".to_owned(), session());
            })
            .unwrap();
        assert_eq!(store.load().unwrap().api["https://a.example"], session());
        assert_eq!(fs::metadata(store.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&store.folder).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_loose_file_is_tightened_by_the_next_change() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store { folder: folder.path().to_owned() };
        fs::write(store.path(), "").unwrap();
        fs::set_permissions(store.path(), fs::Permissions::from_mode(0o644)).unwrap();
        store.update(|_| {}).unwrap();
        assert_eq!(fs::metadata(store.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn neither_debug_nor_a_bad_file_shows_a_token() {
        assert!(!format!("{:?}", session()).contains("access"));
        let folder = tempfile::tempdir().unwrap();
        let store = Store { folder: folder.path().to_owned() };
        fs::write(store.path(), "access_token = hunter2").unwrap();
        assert!(!store.load().unwrap_err().to_string().contains("hunter2"));
    }
}
