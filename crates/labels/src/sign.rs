//! The signature over a set of labels.

use std::{collections::BTreeMap, fmt};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{LabelError, names};

/// A key that is not 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a label key is 64 hex digits")]
pub struct InvalidKey;

/// The secret that signs labels.
#[derive(Clone)]
pub struct LabelKey([u8; 32]);

impl LabelKey {
    /// The key of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the form it has in a secret file; blanks around it are ignored.
    ///
    /// # Errors
    /// The text is not 64 hex digits.
    pub fn from_hex(text: &str) -> Result<Self, InvalidKey> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| InvalidKey)?;
        Ok(Self(bytes))
    }

    /// A hash of what must not be guessed from it: 32 hex digits.
    #[must_use]
    pub fn digest(&self, bytes: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(b"digest");
        mac.update(bytes);
        hex::encode(&mac.finalize().into_bytes()[..16])
    }

    /// Adds the signature over every `paastech.*` label already there.
    pub(crate) fn sign(&self, labels: &mut BTreeMap<String, String>) {
        let signature = hex::encode(self.mac(labels).finalize().into_bytes());
        labels.insert(names::SIG.to_owned(), signature);
    }

    /// Checks the signature over every `paastech.*` label.
    pub(crate) fn verify(&self, labels: &BTreeMap<String, String>) -> Result<(), LabelError> {
        let signature = labels.get(names::SIG).ok_or(LabelError::Forged)?;
        let signature = hex::decode(signature).map_err(|_| LabelError::Forged)?;
        self.mac(labels).verify_slice(&signature).map_err(|_| LabelError::Forged)
    }

    /// Lengths go in before texts, so that no two sets of labels read alike.
    fn mac(&self, labels: &BTreeMap<String, String>) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        for (name, value) in labels {
            if name.starts_with("paastech.") && name != names::SIG {
                for text in [name, value] {
                    mac.update(&(text.len() as u64).to_be_bytes());
                    mac.update(text.as_bytes());
                }
            }
        }
        mac
    }
}

impl fmt::Debug for LabelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LabelKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_depends_on_key_and_bytes() {
        let (a, b) = (LabelKey::new([1; 32]), LabelKey::new([2; 32]));
        assert_eq!(a.digest(b"x"), a.digest(b"x"));
        assert_ne!(a.digest(b"x"), a.digest(b"y"));
        assert_ne!(a.digest(b"x"), b.digest(b"x"));
    }

    #[test]
    fn a_key_is_64_hex_digits_and_never_shown() {
        let key = LabelKey::from_hex(&format!("{}\n", "ab".repeat(32))).expect("a key");
        assert!(!format!("{key:?}").contains("abab"));
        for text in ["", "ab", &"zz".repeat(32)] {
            assert_eq!(LabelKey::from_hex(text).err(), Some(InvalidKey), "{text}");
        }
    }
}
