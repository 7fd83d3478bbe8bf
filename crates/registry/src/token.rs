//! Tokens as distribution's token authentication reads them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use paastech_runtime::Secret;
use paastech_types::ProjectId;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};

/// Clocks differ.
const SKEW_SECONDS: i64 = 60;

/// How tokens for the registry are made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// The key that signs them: `file:` and the path of a PKCS #8 key in PEM.
    pub key: Secret,
    /// Its certificate in PEM, which the registry has too.
    pub certificate: PathBuf,
    /// What the registry calls itself.
    #[serde(default = "service")]
    pub service: String,
    /// What the registry calls us.
    #[serde(default = "issuer")]
    pub issuer: String,
    /// What the projects' repositories begin with: the same as Pomegranate's `registry.prefix`, or no token opens one.
    #[serde(default = "crate::default_prefix")]
    pub prefix: String,
}

pub(crate) fn service() -> String {
    "paastech-registry".to_owned()
}

pub(crate) fn issuer() -> String {
    "paastech-api".to_owned()
}

/// What a token allows in its one repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Read manifests, layers and the list of tags.
    Pull,
    /// Add to it.
    Push,
    /// Remove from it.
    Delete,
}

/// Why tokens cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The certificate cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was read is no key or no certificate.
    #[error("{what}: not in PEM: {source}")]
    Pem {
        /// Which of them.
        what: &'static str,
        /// Why not.
        source: rustls::pki_types::pem::Error,
    },
    /// The key cannot sign.
    #[error("the registry's signing key: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    access: [Access<'a>; 1],
}

#[derive(Serialize)]
struct Access<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    name: &'a str,
    actions: &'a [Action],
}

/// Signs tokens for one registry (ES256, its certificate in the header).
pub struct TokenKey {
    key: EncodingKey,
    header: Header,
    config: TokenConfig,
}

impl TokenKey {
    /// Reads the certificate, and tries the key.
    ///
    /// # Errors
    /// The file or the key, by name.
    pub fn open(config: TokenConfig) -> Result<Self, TokenError> {
        let read =
            |path: &Path| fs::read(path).map_err(|source| TokenError::File { path: path.to_owned(), source });
        let key = PrivatePkcs8KeyDer::from_pem_slice(config.key.expose().as_bytes())
            .map_err(|source| TokenError::Pem { what: "the registry's signing key", source })?;
        let certificate = CertificateDer::from_pem_slice(&read(&config.certificate)?)
            .map_err(|source| TokenError::Pem { what: "the registry's certificate", source })?;
        let mut header = Header::new(Algorithm::ES256);
        header.x5c = Some(vec![BASE64_STANDARD.encode(&certificate)]);
        let key = EncodingKey::from_ec_der(key.secret_pkcs8_der());
        jsonwebtoken::encode(&header, &(), &key)?;
        Ok(Self { key, header, config })
    }

    /// A token for these actions in the project's repository, from now until then; times are milliseconds since 1970.
    #[must_use]
    pub fn issue(&self, project: ProjectId, actions: &[Action], (now_ms, until_ms): (i64, i64)) -> String {
        let name = crate::repository(&self.config.prefix, project);
        let claims = Claims {
            iss: &self.config.issuer,
            aud: &self.config.service,
            sub: &self.config.issuer,
            jti: uuid::Uuid::new_v4().to_string(),
            iat: now_ms / 1000,
            nbf: now_ms / 1000 - SKEW_SECONDS,
            exp: until_ms / 1000,
            access: [Access { kind: "repository", name: &name, actions }],
        };
        jsonwebtoken::encode(&self.header, &claims, &self.key).expect("the key has signed before")
    }
}
