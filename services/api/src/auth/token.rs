//! Tokens: short-lived signed access tokens, and opaque random ones that are stored by their hash.

use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, jwk::Jwk};
use paastech_runtime::{SecretFiles, secrets::Key};
use paastech_types::{AccountId, SessionId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// How long an access token lasts.
pub(crate) const ACCESS_MS: i64 = 10 * 60 * 1000;
const AUDIENCE: &str = "paastech-api";
/// PKCS#8 version 1 up to the seed of an Ed25519 key (RFC 8410).
const PKCS8_ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    iss: String,
    aud: String,
    /// The account.
    pub(crate) sub: AccountId,
    /// The session.
    pub(crate) sid: SessionId,
    jti: String,
    iat: i64,
    exp: i64,
}

/// The key that signs access tokens, as its file says: one that is replaced counts at once.
pub(crate) struct SigningKey {
    files: SecretFiles,
    issuer: String,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    stamp: Option<(u64, i64, i64)>,
    /// Of a file that could not be used, and was complained of.
    refused: Option<(u64, i64, i64)>,
    key: Arc<TokenKey>,
}

impl SigningKey {
    /// Reads the key; made when absent.
    pub(crate) fn open(files: &SecretFiles) -> anyhow::Result<Self> {
        // Before the key: one that is put in its place meanwhile is seen the next time.
        let stamp = files.jwt_stamp();
        let (issuer, key) = (files.instance()?, files.jwt()?);
        let key = Arc::new(TokenKey::new(&key, issuer.clone())?);
        let loaded = Mutex::new(Loaded { stamp, refused: None, key });
        Ok(Self { files: files.clone(), issuer, loaded })
    }

    /// The key of now; the one before when the new one cannot be read.
    pub(crate) fn key(&self) -> Arc<TokenKey> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = self.files.jwt_stamp();
        if stamp.is_some() && stamp != loaded.stamp {
            let fresh = self.files.jwt().map_err(anyhow::Error::from);
            match fresh.and_then(|key| Ok(TokenKey::new(&key, self.issuer.clone())?)) {
                Ok(key) => *loaded = Loaded { stamp, refused: None, key: Arc::new(key) },
                // Tried again each time, for a changed mode changes no stamp; said once.
                Err(error) if stamp != loaded.refused => {
                    loaded.refused = stamp;
                    tracing::error!(%error, "the replaced key of access tokens cannot be used");
                }
                Err(_) => {}
            }
        }
        loaded.key.clone()
    }
}

/// Signs access tokens and checks them.
pub(crate) struct TokenKey {
    encoding: EncodingKey,
    decoding: DecodingKey,
    kid: String,
    issuer: String,
}

impl TokenKey {
    /// From an Ed25519 seed; the issuer is this installation.
    pub(crate) fn new(seed: &Key, issuer: String) -> Result<Self, jsonwebtoken::errors::Error> {
        let mut der = PKCS8_ED25519.to_vec();
        der.extend_from_slice(seed.as_slice());
        let encoding = EncodingKey::from_ed_der(&der);
        zeroize::Zeroize::zeroize(&mut der);
        let public = Jwk::from_encoding_key(&encoding, Algorithm::EdDSA)?;
        let kid = public.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256)?;
        Ok(Self { decoding: DecodingKey::from_jwk(&public)?, encoding, kid, issuer })
    }

    /// A token for this session.
    pub(crate) fn issue(
        &self,
        sub: AccountId,
        sid: SessionId,
        now: i64,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub,
            sid,
            jti: uuid::Uuid::new_v4().to_string(),
            iat: now / 1000,
            exp: (now + ACCESS_MS) / 1000,
        };
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, &claims, &self.encoding)
    }

    /// What a token says, if this installation made it for this use and it has not expired.
    pub(crate) fn check(&self, token: &str, now: i64) -> Option<Claims> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.kid.as_deref() != Some(&self.kid) {
            return None;
        }
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Compared below, by the program's clock.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &validation).ok()?.claims;
        (now / 1000 < claims.exp && claims.iat <= now / 1000 + 60).then_some(claims)
    }
}

/// A new opaque token: a prefix that scanners know, and 256 random bits.
pub(crate) fn opaque(prefix: &str) -> String {
    format!("{prefix}_{}", hex::encode(rand::random::<[u8; 32]>()))
}

/// What is stored of an opaque token. So much randomness needs no slow hash.
pub(crate) fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt as _,
    };

    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn key(issuer: &str) -> TokenKey {
        TokenKey::new(&Key::new([7; 32]), issuer.to_owned()).expect("a key")
    }

    #[test]
    fn a_replaced_key_that_cannot_be_used_is_complained_of_once() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let files = SecretFiles::ensure(dir.path()).expect("secrets");
        let signing = SigningKey::open(&files).expect("a key");
        let refused = || signing.loaded.lock().expect("loaded").refused;
        let first = signing.key();
        assert_eq!(refused(), None);
        files.replace("jwt", "nonsense").expect("replaced");
        assert_eq!(signing.key().kid, first.kid, "the one before stays");
        assert_eq!(refused(), files.jwt_stamp());
        files.rotate_jwt().expect("rotated");
        let mode = |mode| fs::set_permissions(dir.path().join("jwt"), Permissions::from_mode(mode));
        mode(0o444).expect("set");
        assert_eq!(signing.key().kid, first.kid);
        mode(0o400).expect("set");
        assert_ne!(signing.key().kid, first.kid);
        assert_eq!(refused(), None);
    }

    #[test]
    fn a_token_lasts_ten_minutes() {
        let key = key("here");
        let (account, session) = (AccountId::new(), SessionId::new());
        let token = key.issue(account, session, NOW).expect("signed");
        let claims = key.check(&token, NOW + ACCESS_MS - 1000).expect("valid");
        assert_eq!((claims.sub, claims.sid), (account, session));
        assert!(key.check(&token, NOW + ACCESS_MS).is_none());
    }

    #[test]
    fn a_token_of_another_key_or_installation_is_nothing() {
        let token = key("there").issue(AccountId::new(), SessionId::new(), NOW).expect("signed");
        assert!(key("here").check(&token, NOW).is_none());
        let other = TokenKey::new(&Key::new([8; 32]), "here".to_owned()).expect("a key");
        let token = other.issue(AccountId::new(), SessionId::new(), NOW).expect("signed");
        assert!(key("here").check(&token, NOW).is_none());
    }

    #[test]
    fn a_token_without_signature_or_with_another_algorithm_is_nothing() {
        let key = key("here");
        let token = key.issue(AccountId::new(), SessionId::new(), NOW).expect("signed");
        let mut parts = token.split('.');
        let (_, claims) = (parts.next().expect("header"), parts.next().expect("claims"));
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS256","typ":"JWT"}"#] {
            use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
            let forged = format!("{}.{claims}.", BASE64_URL_SAFE_NO_PAD.encode(header));
            assert!(key.check(&forged, NOW).is_none(), "{header}");
        }
        assert!(key.check("", NOW).is_none());
    }
}
