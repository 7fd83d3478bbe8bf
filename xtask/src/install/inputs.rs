//! The files that services read at their start: docker-compose makes a service anew when its options change, and the
//! hash of what it reads is among them.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use super::settings::Settings;
use crate::paths;

/// A variable for those that read the same.
pub(super) fn hashes(
    settings: &Settings,
    certificate: &Path,
    of_traefik: &[PathBuf],
) -> Result<[(&'static str, String); 4]> {
    let deploy = paths::workspace().join("deploy");
    let compose = deploy.join("compose/config");
    let tier = deploy.join(format!("config/services.{}.toml", settings.tier()));
    let services = [compose.join("services.toml"), tier, settings.own_configuration()];
    let registry = [compose.join("registry.yml"), certificate.to_owned()];
    Ok([
        ("PAASTECH_READS", hash(&services)?),
        ("PAASTECH_READS_POSTGRES", hash(&[compose.join("pg_hba.conf")])?),
        ("PAASTECH_READS_REGISTRY", hash(&registry)?),
        ("PAASTECH_READS_TRAEFIK", hash(of_traefik)?),
    ])
}

fn hash(files: &[PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    for file in files {
        let what = || file.display().to_string();
        let text = fs::read(file).with_context(what)?;
        // Those of the checkout are as its owner has them, and the certificate is its reader's own.
        let readable =
            fs::metadata(file)?.permissions().mode() & 0o004 != 0 || file.ends_with("certificate.pem");
        ensure!(readable, "{0}: the services cannot read it, `chmod o+r {0}`", file.display());
        hash.update(Sha256::digest(text));
    }
    Ok(hex::encode(&hash.finalize()[..8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_shows_and_must_be_readable() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.toml");
        fs::write(&file, "1").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let first = hash(std::slice::from_ref(&file)).unwrap();
        assert_eq!(hash(std::slice::from_ref(&file)).unwrap(), first);
        fs::write(&file, "2").unwrap();
        assert_ne!(hash(std::slice::from_ref(&file)).unwrap(), first);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(hash(&[file]).unwrap_err().to_string().contains("chmod o+r"));
    }
}
