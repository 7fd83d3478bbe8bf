//! `rotate-secrets`: each can be run again when it was cut off, and goes on where it was.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::{Args, Subcommand};
use hmac::{Hmac, KeyInit as _, Mac as _};
use paastech_db::{Backend, Database};
use paastech_runtime::SecretFiles;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::Installation;
use crate::{database_url::Parts, secrets::Vault, store::project};

#[derive(Debug, Subcommand)]
pub enum RotateSecrets {
    /// The key that seals the projects' keys: nothing ends, and the old one is destroyed
    Kek(Kek),
    /// The key that signs access tokens: those of now end, and clients get others by their refresh tokens
    Jwt(Jwt),
    /// The password of the database's role, where the configuration names a file that holds the database's URL
    Database(DatabasePassword),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech-admin rotate-secrets kek")]
pub struct Kek {}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech-admin rotate-secrets jwt")]
pub struct Jwt {}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech-admin rotate-secrets database\n\nRestart the api afterwards.")]
pub struct DatabasePassword {}

impl RotateSecrets {
    pub(super) async fn run(self, installation: &Installation) -> Result<()> {
        installation.ensure_owner()?;
        match self {
            Self::Kek(_) => kek(installation).await,
            Self::Jwt(_) => {
                installation.secrets()?.rotate_jwt()?;
                println!("Access tokens are signed by a new key; those of before are refused from now on.");
                Ok(())
            }
            Self::Database(_) => database(installation).await,
        }
    }
}

async fn kek(installation: &Installation) -> Result<()> {
    let (db, files) = (installation.database().await?, installation.secrets()?);
    files.rotate_kek()?;
    let vault = Vault::open(&files)?;
    let keys = project::list_data_keys(&mut db.read().await?).await?;
    let mut rewrapped = 0;
    for (id, data_key) in &keys {
        let fresh = vault.rewrap(*id, data_key).with_context(|| {
            format!("project {id}: its key opens with neither key; the old one stays until this is mended")
        })?;
        let Some(fresh) = fresh else { continue };
        let mut tx = db.begin().await?;
        project::set_data_key(&mut tx, *id, data_key, &fresh).await?;
        tx.commit().await?;
        rewrapped += 1;
    }
    for (id, data_key) in project::list_data_keys(&mut db.read().await?).await? {
        ensure!(vault.rewrap(id, &data_key)?.is_none(), "project {id} was changed meanwhile: run this again");
    }
    db.close().await;
    files.drop_old_kek()?;
    println!(
        "{rewrapped} of {} projects' keys are sealed by the new key; the old one is destroyed.\n\
         Backups made before need the old key: make a new backup, and a new copy of the secrets' folder.",
        keys.len()
    );
    Ok(())
}

async fn database(installation: &Installation) -> Result<()> {
    let secret = &installation.config.database;
    let Some(path) = secret.file() else {
        bail!("the database's URL is not in a file: write it into one, and `database = \"file:<path>\"`")
    };
    let folder = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().and_then(|name| name.to_str()).context("the file's name is no text")?;
    let (files, aside) = (SecretFiles::ensure(folder)?, format!("{name}.new"));
    // Cut off between the database and the file: the new password may be the one that counts.
    if let Some(url) = files.get(&aside)?
        && let Ok(db) = Database::connect(&url).await
    {
        db.close().await;
        return settle(&files, name, &aside, &url);
    }
    let db = Database::connect(secret.expose()).await.context("the database does not answer")?;
    ensure!(db.backend() == Backend::Postgres, "a database in a file has no password");
    let password = Zeroizing::new(hex::encode(rand::random::<[u8; 24]>()));
    let url = with_password(secret.expose(), &password).context(
        "the database's URL names no user, or has its password among its options: write `user:password@`",
    )?;
    files.replace(&aside, &url)?;
    db.set_own_password(&verifier(&password)).await?;
    db.close().await;
    Database::connect(&url).await.context("the database does not take its new password")?.close().await;
    settle(&files, name, &aside, &url)
}

fn settle(files: &SecretFiles, name: &str, aside: &str, url: &str) -> Result<()> {
    files.replace(name, url)?;
    files.remove(aside)?;
    println!(
        "The database has a new password, and {name} holds it. Restart the api: it still knows the old one."
    );
    Ok(())
}

/// The same URL with another password; None when it would not be the one that counts.
fn with_password(url: &str, password: &str) -> Option<Zeroizing<String>> {
    let parts = Parts::of(url).filter(|parts| parts.option_password().is_none())?;
    let Parts { scheme, user, host, tail, .. } = parts;
    let user = user?;
    Some(Zeroizing::new(format!("{scheme}://{user}:{password}@{host}{tail}")))
}

/// What PostgreSQL keeps of a password (RFC 5802, 7677): the password itself reaches no log of its.
fn verifier(password: &str) -> String {
    const ROUNDS: u32 = 4096;
    let salt = rand::random::<[u8; 16]>();
    let mut round = hmac(password.as_bytes(), &[&salt[..], &[0, 0, 0, 1]].concat());
    let mut salted = round;
    for _ in 1..ROUNDS {
        round = hmac(password.as_bytes(), &round);
        salted.iter_mut().zip(round).for_each(|(sum, byte)| *sum ^= byte);
    }
    let stored = Sha256::digest(hmac(&salted, b"Client Key"));
    let [salt, stored, server] =
        [&salt[..], &stored, &hmac(&salted, b"Server Key")].map(|bytes| BASE64_STANDARD.encode(bytes));
    format!("SCRAM-SHA-256${ROUNDS}:{salt}${stored}:{server}")
}

fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gets_another_password_and_keeps_the_rest() {
        for (before, after) in [
            ("postgres://u:old@h/d", "postgres://u:new@h/d"),
            ("postgres://u@h:5432/d?sslmode=require", "postgres://u:new@h:5432/d?sslmode=require"),
            ("postgresql://u:a@b@h", "postgresql://u:new@h"),
            ("postgres://u:old@h?x=a@b", "postgres://u:new@h?x=a@b"),
        ] {
            assert_eq!(with_password(before, "new").expect(before).as_str(), after);
        }
        assert!(with_password("postgres://h/d", "new").is_none());
        assert!(with_password("postgres://u:old@h/d?password=old", "new").is_none());
    }
}
