//! The host key: made once, readable by us alone, never replaced.

use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _, path::Path};

use russh::keys::{Algorithm, HashAlg, PrivateKey, ssh_key::LineEnding};

use crate::Error;

/// Its name in the server's own directory.
pub(crate) const FILE: &str = "host_key_ed25519";

/// The server's own key.
#[derive(Clone)]
pub(crate) struct HostKey(pub(super) PrivateKey);

impl HostKey {
    /// Reads the key, making it if there is none.
    pub(crate) fn load(state_dir: &Path) -> Result<Self, Error> {
        let path = state_dir.join(FILE);
        let bad = |why: &dyn std::fmt::Display| Error::BadKey { path: path.clone(), why: why.to_string() };
        if !path.try_exists().map_err(Error::state(&path))? {
            let key =
                PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).map_err(|error| bad(&error))?;
            let text = key.to_openssh(LineEnding::LF).map_err(|error| bad(&error))?;
            save(state_dir, &path, text.as_bytes()).map_err(Error::state(&path))?;
        }
        let mode = fs::metadata(&path).map_err(Error::state(&path))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(Error::OpenKey(path));
        }
        let text = fs::read_to_string(&path).map_err(Error::state(&path))?;
        PrivateKey::from_openssh(text).map(Self).map_err(|error| bad(&error))
    }

    /// `SHA256:…`, as clients show it.
    pub(crate) fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// `ssh-ed25519 AAAA…`, as `known_hosts` holds it.
    pub(crate) fn public(&self) -> String {
        let mut key = self.0.public_key().clone();
        key.set_comment("");
        key.to_openssh().unwrap_or_default()
    }
}

/// Writes the file whole: a temporary file has mode 0600 from the start.
fn save(dir: &Path, path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_made_once_with_mode_0600() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = HostKey::load(dir.path()).expect("made");
        let path = dir.path().join(FILE);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = HostKey::load(dir.path()).expect("read");
        assert_eq!(first.fingerprint(), second.fingerprint());
        assert!(first.public().starts_with("ssh-ed25519 AAAA"), "{}", first.public());
    }

    #[test]
    fn is_refused_when_others_can_read_it_or_it_is_damaged() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        HostKey::load(dir.path()).expect("made");
        let path = dir.path().join(FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
        assert!(matches!(HostKey::load(dir.path()), Err(Error::OpenKey(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
        fs::write(&path, "no key").expect("written");
        assert!(matches!(HostKey::load(dir.path()), Err(Error::BadKey { .. })));
    }
}
