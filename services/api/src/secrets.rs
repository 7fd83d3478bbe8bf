//! Values at rest: a key of the installation wraps one data key per project, which seals the project's secrets.

use std::{fmt, fs::File};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use paastech_db::Tx;
use paastech_runtime::{
    Secret,
    secrets::{Key, SecretFiles, parse_key},
};
use paastech_types::ProjectId;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{
    error::Error,
    store::{project, variable},
};

/// A sealed value cannot be opened: another key, or changed or moved text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value of this installation cannot be opened with its key")]
pub struct SealError;

/// The first byte of every sealed value.
const FORMAT: u8 = 1;
const NONCE: usize = 24;
const KEY_ID: usize = 4;

/// The installation's key, as its file says at each use: it may be rotated.
#[derive(Clone)]
pub struct Vault {
    files: SecretFiles,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault([redacted])")
    }
}

/// A project's key.
pub struct DataKey {
    project: ProjectId,
    key: Key,
}

/// A variable as the app sees it.
pub struct OpenVariable {
    /// Its name.
    pub name: String,
    /// Its value, secret or not.
    pub value: Secret,
    /// Whether builds see it too.
    pub build: bool,
}

impl Vault {
    /// With the key of the installation; made when absent.
    ///
    /// # Errors
    /// The key cannot be read or made.
    pub fn open(files: &SecretFiles) -> std::io::Result<Self> {
        files.kek()?;
        Ok(Self { files: files.clone() })
    }

    /// A new data key for a project, wrapped: the `data_key` of its row. While the file is held, the key that wrapped it
    /// stays the current one: until the row is committed.
    pub(crate) fn new_data_key(&self, project: ProjectId) -> Result<(String, File), Error> {
        let held = self.files.hold().map_err(unreadable)?;
        let key = Zeroizing::new(rand::random::<[u8; 32]>());
        Ok((seal(&self.kek()?, key.as_slice(), &wrapping_place(project))?, held))
    }

    /// The data key of a project, unwrapped.
    pub(crate) fn data_key(&self, project: &project::Row) -> Result<DataKey, Error> {
        let key = unwrap(&self.keks()?, project.id, &project.data_key)?;
        Ok(DataKey { project: project.id, key })
    }

    /// The current key, and the one before it while that is being replaced.
    fn keks(&self) -> Result<Vec<Key>, Error> {
        let _held = self.files.hold().map_err(unreadable)?;
        let old = self.files.old_kek().map_err(unreadable)?;
        Ok([self.kek()?].into_iter().chain(old).collect())
    }

    /// The current key. A lost one is not made anew: what it has sealed needs it.
    fn kek(&self) -> Result<Key, Error> {
        let text = self.files.get("kek").map_err(unreadable)?;
        let key = text.and_then(|text| parse_key(&text));
        key.ok_or(Error::Defect("the installation's key is missing: put secrets/kek back"))
    }

    /// The same data key, wrapped by the current key; None when it is already.
    pub(crate) fn rewrap(&self, project: ProjectId, data_key: &str) -> Result<Option<String>, Error> {
        let keks = self.keks()?;
        let current = keks.first().ok_or(SealError)?;
        if wrapped_by(data_key) == Some(key_name(current)) {
            return Ok(None);
        }
        let key = unwrap(&keks, project, data_key)?;
        Ok(Some(seal(current, key.as_slice(), &wrapping_place(project))?))
    }

    /// The variables of one configuration version, opened for the app.
    pub(crate) async fn open_configuration(
        &self,
        tx: &mut Tx,
        project: ProjectId,
        version: i64,
    ) -> Result<Vec<OpenVariable>, Error> {
        let row = project::get(tx, project).await?.ok_or(Error::Defect("the project is gone"))?;
        let key = self.data_key(&row)?;
        let mut open = Vec::new();
        for variable in variable::list(tx, project, version).await? {
            let value = match variable.kind.as_str() {
                "secret" => key.open(&variable.value, version, &variable.name)?,
                _ => Secret::new(variable.value),
            };
            open.push(OpenVariable { name: variable.name, value, build: variable.build.0 });
        }
        Ok(open)
    }
}

impl DataKey {
    /// Seals the value of a variable for exactly this place.
    pub(crate) fn seal(&self, value: &Secret, version: i64, name: &str) -> Result<String, SealError> {
        seal(&self.key, value.expose().as_bytes(), &self.place(version, name))
    }

    /// Opens what [`Self::seal`] made for this place.
    pub(crate) fn open(&self, sealed: &str, version: i64, name: &str) -> Result<Secret, SealError> {
        let plain = unseal(&self.key, sealed, &self.place(version, name))?;
        std::str::from_utf8(&plain).map(Secret::new).map_err(|_| SealError)
    }

    fn place(&self, version: i64, name: &str) -> String {
        format!("variable|value|{}|{version}|{name}", self.project)
    }
}

/// Base64 of format, key id, nonce and ciphertext; the place is authenticated, so a row cannot take another's value.
fn seal(key: &Key, plain: &[u8], place: &str) -> Result<String, SealError> {
    let nonce = rand::random::<[u8; NONCE]>();
    let cipher = XChaCha20Poly1305::new(key.as_slice().try_into().map_err(|_| SealError)?);
    let sealed = cipher
        .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: place.as_bytes() })
        .map_err(|_| SealError)?;
    let mut bytes = vec![FORMAT];
    bytes.extend_from_slice(&key_id(key));
    bytes.extend_from_slice(&nonce);
    bytes.extend_from_slice(&sealed);
    Ok(BASE64_STANDARD.encode(bytes))
}

fn unseal(key: &Key, sealed: &str, place: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let bytes = BASE64_STANDARD.decode(sealed).map_err(|_| SealError)?;
    let (format, rest) = bytes.split_first().ok_or(SealError)?;
    let (id, rest) = rest.split_at_checked(KEY_ID).ok_or(SealError)?;
    let (nonce, text) = rest.split_first_chunk::<NONCE>().ok_or(SealError)?;
    if *format != FORMAT || id != key_id(key) {
        return Err(SealError);
    }
    let cipher = XChaCha20Poly1305::new(key.as_slice().try_into().map_err(|_| SealError)?);
    cipher
        .decrypt(&XNonce::from(*nonce), Payload { msg: text, aad: place.as_bytes() })
        .map(Zeroizing::new)
        .map_err(|_| SealError)
}

fn wrapping_place(project: ProjectId) -> String {
    format!("project|data_key|{project}")
}

/// A project's data key, by whichever of the keys wrapped it.
pub(crate) fn unwrap(keks: &[Key], project: ProjectId, data_key: &str) -> Result<Key, SealError> {
    let by = wrapped_by(data_key).ok_or(SealError)?;
    let kek = keks.iter().find(|kek| key_name(kek) == by).ok_or(SealError)?;
    let plain = unseal(kek, data_key, &wrapping_place(project))?;
    let mut key = Key::default();
    if plain.len() != key.len() {
        return Err(SealError);
    }
    key.copy_from_slice(&plain);
    Ok(key)
}

/// The name of the key that wrapped a data key, in hex.
pub(crate) fn wrapped_by(data_key: &str) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(data_key).ok()?;
    bytes.get(1..=KEY_ID).map(hex::encode)
}

/// What a key is called: 8 hex digits that tell nothing about it.
pub(crate) fn key_name(key: &Key) -> String {
    hex::encode(key_id(key))
}

fn unreadable(source: std::io::Error) -> Error {
    Error::File { what: "the installation's key cannot be read".to_owned(), source }
}

/// Tells keys apart without telling anything about them.
fn key_id(key: &Key) -> [u8; KEY_ID] {
    let digest: [u8; 32] =
        Sha256::new().chain_update(b"key id").chain_update(key.as_slice()).finalize().into();
    [digest[0], digest[1], digest[2], digest[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_key() -> DataKey {
        DataKey { project: ProjectId::new(), key: Key::new(rand::random()) }
    }

    #[test]
    fn opens_what_it_sealed_in_the_same_place_only() {
        let key = data_key();
        let sealed = key.seal(&Secret::new("hunter2"), 3, "PASSWORD").expect("sealed");
        assert_eq!(key.open(&sealed, 3, "PASSWORD").expect("opened").expose(), "hunter2");
        assert!(key.open(&sealed, 4, "PASSWORD").is_err());
        assert!(key.open(&sealed, 3, "OTHER").is_err());
        let other = DataKey { project: ProjectId::new(), key: key.key.clone() };
        assert!(other.open(&sealed, 3, "PASSWORD").is_err());
    }

    #[test]
    fn another_key_or_a_flipped_bit_does_not_open() {
        let key = data_key();
        let sealed = key.seal(&Secret::new("x"), 1, "A").expect("sealed");
        assert!(data_key().open(&sealed, 1, "A").is_err());
        let mut bytes = BASE64_STANDARD.decode(&sealed).expect("base64");
        *bytes.last_mut().expect("not empty") ^= 1;
        assert!(key.open(&BASE64_STANDARD.encode(bytes), 1, "A").is_err());
        assert!(key.open("", 1, "A").is_err());
    }
}
