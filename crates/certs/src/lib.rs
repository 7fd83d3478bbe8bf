//! The certificates of one installation: an authority of its own, and one certificate for each service, renewed when two
//! thirds of its life have passed.
//!
//! `<dir>/ca.pem`, `<dir>/ca-key.pem`, and for each service `<dir>/<service>/{ca,certificate,key}.pem`: a service gets
//! its own folder and nothing else. Beside them the key with which the api signs tokens for the registry of images.

mod command;

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use paastech_runtime::{Peer, TlsConfig, is_due};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, string::Ia5String,
};
use time::{Duration, OffsetDateTime};

pub use command::Command;

/// How long a service's certificate is good.
pub const LIFE: Duration = Duration::days(90);
const AUTHORITY_LIFE: Duration = Duration::days(3650);
/// Clocks differ.
const SKEW: Duration = Duration::days(1);

/// What was done for one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Whose certificate it is.
    pub service: Peer,
    /// Whether it is a new one.
    pub made: bool,
    /// When it ends.
    pub expires: OffsetDateTime,
}

/// Makes what is absent or due, or with `renew` every certificate; the authority stays.
///
/// # Errors
/// A file cannot be read, understood or written: it is named.
pub fn ensure(dir: &Path, now: OffsetDateTime, renew: bool) -> Result<Vec<Outcome>> {
    private_dir(dir)?;
    let authority = authority(dir, now)?;
    let ca = fs::read_to_string(dir.join("ca.pem"))?;
    let mut outcomes = Vec::with_capacity(Peer::ALL.len());
    for service in Peer::ALL {
        let folder = dir.join(service.name());
        private_dir(&folder)?;
        let held = if renew { None } else { held(&folder, &ca, now)? };
        outcomes.push(match held {
            Some(expires) => Outcome { service, made: false, expires },
            None => {
                issue(&authority, service, now, &folder, &ca)?;
                Outcome { service, made: true, expires: now + LIFE }
            }
        });
    }
    Ok(outcomes)
}

/// Where a service finds its certificate.
#[must_use]
pub fn files(dir: &Path, service: Peer) -> TlsConfig {
    let file = |name: &str| dir.join(service.name()).join(name);
    TlsConfig { ca: file("ca.pem"), certificate: file("certificate.pem"), key: file("key.pem") }
}

/// With what tokens for the registry are signed, and by what the registry knows them.
#[derive(Debug, Clone)]
pub struct TokenFiles {
    /// ES256, in PEM; for the api alone.
    pub key: PathBuf,
    /// Signed by itself, in PEM; for both.
    pub certificate: PathBuf,
}

/// Makes `<dir>/{key,certificate}.pem`, unless they are there. It is no certificate of the authority's: who holds one of
/// those may sign nothing that the registry believes.
///
/// # Errors
/// A file cannot be made.
pub fn registry_token(dir: &Path, now: OffsetDateTime) -> Result<TokenFiles> {
    private_dir(dir)?;
    let files = TokenFiles { key: dir.join("key.pem"), certificate: dir.join("certificate.pem") };
    if !files.key.exists() {
        let mut params = params("PaaSTech registry tokens", now, AUTHORITY_LIFE);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let pair = KeyPair::generate()?;
        // The key last: while it is absent there is neither.
        put(&files.certificate, &params.self_signed(&pair)?.pem(), 0o444)?;
        put(&files.key, &pair.serialize_pem(), 0o400)?;
    }
    Ok(files)
}

fn authority(dir: &Path, now: OffsetDateTime) -> Result<Issuer<'static, KeyPair>> {
    let (certificate, key) = (dir.join("ca.pem"), dir.join("ca-key.pem"));
    if !key.exists() {
        let mut params = params("PaaSTech installation", now, AUTHORITY_LIFE);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pair = KeyPair::generate()?;
        // The key last: while it is absent there is no authority.
        put(&certificate, &params.self_signed(&pair)?.pem(), 0o444)?;
        put(&key, &pair.serialize_pem(), 0o400)?;
    }
    let read =
        |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    let pair = KeyPair::from_pem(&read(&key)?).with_context(|| format!("{} is no key", key.display()))?;
    Issuer::from_ca_cert_pem(&read(&certificate)?, pair)
        .with_context(|| format!("{} is no certificate", certificate.display()))
}

/// The end of the certificate in the folder, when it is this authority's and not yet due.
fn held(folder: &Path, ca: &str, now: OffsetDateTime) -> Result<Option<OffsetDateTime>> {
    let is_this_authority_s = fs::read_to_string(folder.join("ca.pem")).is_ok_and(|held| held == ca);
    let path = folder.join("certificate.pem");
    if !is_this_authority_s || !path.exists() || !folder.join("key.pem").exists() {
        return Ok(None);
    }
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let malformed = || format!("{} is no certificate: remove it", path.display());
    let (_, pem) = x509_parser::pem::parse_x509_pem(&text).with_context(malformed)?;
    let certificate = pem.parse_x509().with_context(malformed)?;
    let validity = certificate.validity();
    let life = (validity.not_before.timestamp(), validity.not_after.timestamp());
    Ok((!is_due(life, now.unix_timestamp())).then(|| validity.not_after.to_datetime()))
}

fn issue(
    authority: &Issuer<'static, KeyPair>,
    service: Peer,
    now: OffsetDateTime,
    folder: &Path,
    ca: &str,
) -> Result<()> {
    let mut params = params(service.name(), now, LIFE);
    params.subject_alt_names = vec![
        SanType::DnsName(Ia5String::try_from(service.name())?),
        SanType::URI(Ia5String::try_from(service.uri())?),
    ];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let pair = KeyPair::generate()?;
    let certificate = params.signed_by(&pair, authority)?;
    put(&folder.join("ca.pem"), ca, 0o444)?;
    put(&folder.join("key.pem"), &pair.serialize_pem(), 0o400)?;
    put(&folder.join("certificate.pem"), &certificate.pem(), 0o444)
}

fn params(name: &str, now: OffsetDateTime, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (now - SKEW, now + life);
    params
}

fn private_dir(dir: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make {}", dir.display()))
}

/// Whole, and never open to others for a moment. The owner of what was there keeps it.
fn put(path: &Path, text: &str, mode: u32) -> Result<()> {
    let aside = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let _ = fs::remove_file(&aside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        if let Ok(before) = fs::metadata(path) {
            chown(&aside, Some(before.uid()), Some(before.gid()))?;
        }
        fs::rename(&aside, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use paastech_runtime::Tls;

    use super::*;

    fn made(outcomes: &[Outcome]) -> usize {
        outcomes.iter().filter(|outcome| outcome.made).count()
    }

    #[test]
    fn each_service_gets_what_it_can_use_and_only_its_own() {
        let dir = tempfile::tempdir().expect("a directory");
        let outcomes = ensure(dir.path(), OffsetDateTime::now_utc(), false).expect("made");
        assert_eq!(made(&outcomes), Peer::ALL.len());
        for service in Peer::ALL {
            let files = files(dir.path(), service);
            Tls::open(&files).expect("usable");
            let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
            assert_eq!((mode(&files.key), mode(&files.certificate)), (0o400, 0o444));
            assert_eq!(fs::read_dir(dir.path().join(service.name())).expect("a folder").count(), 3);
        }
    }

    #[test]
    fn what_is_good_stays_and_what_is_due_is_renewed_by_the_same_authority() {
        let dir = tempfile::tempdir().expect("a directory");
        let now = OffsetDateTime::now_utc();
        ensure(dir.path(), now, false).expect("made");
        let authority = fs::read(dir.path().join("ca.pem")).expect("there");
        assert_eq!(made(&ensure(dir.path(), now + Duration::days(59), false).expect("kept")), 0);
        let later = ensure(dir.path(), now + Duration::days(61), false).expect("renewed");
        assert_eq!(made(&later), Peer::ALL.len());
        assert_eq!(
            made(&ensure(dir.path(), now + Duration::days(61), true).expect("renewed")),
            Peer::ALL.len()
        );
        assert_eq!(fs::read(dir.path().join("ca.pem")).expect("there"), authority);
    }

    #[test]
    fn another_authority_s_certificates_are_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let now = OffsetDateTime::now_utc();
        ensure(dir.path(), now, false).expect("made");
        fs::remove_file(dir.path().join("ca-key.pem")).expect("removed");
        assert_eq!(made(&ensure(dir.path(), now, false).expect("made")), Peer::ALL.len());
    }

    #[test]
    fn a_broken_file_is_named_and_not_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let now = OffsetDateTime::now_utc();
        ensure(dir.path(), now, false).expect("made");
        let path = dir.path().join("ca-key.pem");
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "nonsense").expect("written");
        let error = ensure(dir.path(), now, false).expect_err("refused");
        assert!(error.to_string().contains("ca-key.pem"), "{error:#}");
    }
}
