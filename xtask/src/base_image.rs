//! `cargo xtask base-image`: the image `paastech/base:12`, Debian 12 with Python and this host's CA bundle, made
//! from packages. The tarball is cached under a key over all that goes into it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use rustix::process::geteuid;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    apt::{self, Mirror},
    engine::Engine,
    http as client, paths, process,
    progress::Step,
};

/// What samples and builders begin from.
pub(crate) const IMAGE: &str = "paastech/base:12";
/// Not `paastech.*`: images inherit labels, and those are refused in a tenant's image.
const KEY_LABEL: &str = "io.paastech.base-key";
/// The Debian release of all our images.
pub(crate) const SUITE: &str = "bookworm";
const PACKAGES: &str = "ca-certificates,python3";
const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Counts changes to the recipe below.
const RECIPE: &str = "1";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    config: ImageConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageConfig {
    labels: Option<std::collections::HashMap<String, String>>,
}

/// Makes the image unless the engine holds it already.
pub(crate) async fn ensure(engine: &Engine) -> Result<()> {
    let step = Step::new(format!("base image {IMAGE}"));
    let held = held_key(engine).await?;
    let root = geteuid().is_root();
    if !root && held.is_some() {
        step.skip("the engine has it");
        return Ok(());
    }
    ensure!(
        root,
        "the engine has no image {IMAGE}, and making it needs root: run `sudo cargo xtask base-image` once"
    );
    let mirror = apt::mirror(SUITE)?;
    let bundle = fs::read(CA_BUNDLE).unwrap_or_default();
    let key = key(&mirror, &bundle);
    if held.as_ref() == Some(&key) {
        step.skip("the engine has it");
        return Ok(());
    }
    let tarball = paths::cache()?.join(format!("base-{key}.tar"));
    if !tarball.is_file() {
        apt::ensure(&["debootstrap", "debian-archive-keyring"], "the base image").await?;
        make_tarball(&step, &mirror, &bundle, &tarball).await?;
    }
    step.note("importing");
    import(engine, &tarball, &key).await?;
    step.done("made from packages");
    Ok(())
}

fn key(mirror: &Mirror, bundle: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [RECIPE.as_bytes(), SUITE.as_bytes(), PACKAGES.as_bytes(), mirror.url.as_bytes(), bundle] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
}

async fn held_key(engine: &Engine) -> Result<Option<String>> {
    let answer = engine.get(&format!("/images/{IMAGE}/json")).await?;
    if answer.status == http::StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let image: Image = answer.json()?;
    Ok(Some(image.config.labels.and_then(|mut labels| labels.remove(KEY_LABEL)).unwrap_or_default()))
}

async fn make_tarball(step: &Step, mirror: &Mirror, bundle: &[u8], tarball: &Path) -> Result<()> {
    let cache = paths::cache()?;
    let dir = tempfile::Builder::new().prefix("base-").tempdir_in(&cache)?;
    let root = dir.path().join("root");
    step.note("debootstrap (about a minute)");
    debootstrap(mirror, &root, &cache.join("debootstrap.log")).await?;
    if !bundle.is_empty() {
        fs::write(root.join(CA_BUNDLE.trim_start_matches('/')), bundle)?;
    }
    step.note("packing");
    let part = dir.path().join("part.tar");
    pack(&root, &part).await?;
    fs::rename(&part, tarball).with_context(|| format!("cannot put {} in its place", tarball.display()))
}

/// In a mount namespace of its own: what it mounts is gone with it, however it ends.
async fn debootstrap(mirror: &Mirror, root: &Path, log: &Path) -> Result<()> {
    let mut command = process::argv(["unshare", "--mount", "--propagation", "private", "debootstrap"]);
    command
        .args(["--variant=minbase", "--merged-usr"])
        .args([format!("--include={PACKAGES}"), format!("--keyring={}", mirror.keyring)])
        .arg(SUITE)
        .arg(root)
        .arg(&mirror.url);
    process::logged(&mut command, log).await
}

async fn pack(root: &Path, to: &Path) -> Result<()> {
    let exclude =
        ["./dev/*", "./proc/*", "./sys/*", "./debootstrap", "./var/cache/apt/*", "./var/lib/apt/lists/*"]
            .map(|pattern| format!("--exclude={pattern}"));
    let mut command = process::argv(["tar", "--create", "--numeric-owner", "--sort=name"]);
    command.args(exclude).arg("--directory").arg(root).arg("--file").arg(to).arg(".");
    process::stdout(&mut command).await.map(drop)
}

async fn import(engine: &Engine, tarball: &PathBuf, key: &str) -> Result<()> {
    let file = tokio::fs::File::open(tarball).await?;
    let (repository, tag) = IMAGE.split_once(':').expect("the image's name has a tag");
    // One label and one command, percent-encoded by hand: their alphabets are fixed.
    let changes = format!("changes=LABEL%20{KEY_LABEL}%3D{key}&changes=CMD%20%5B%22bash%22%5D");
    let path = format!("/images/create?fromSrc=-&repo={repository}&tag={tag}&{changes}");
    let answer = engine.call(Method::POST, &path, client::file(file)).await?;
    // The engine answers 200 before it knows, and says what went wrong in the stream.
    if !answer.status.is_success() || answer.text().contains("\"error\"") {
        bail!("the engine did not import the base image: {}", answer.text());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_changes_with_each_input() {
        let mirror = |url: &str| Mirror { url: url.to_owned(), keyring: "/k".to_owned() };
        let first = key(&mirror("http://a"), b"ca");
        assert_eq!(first, key(&mirror("http://a"), b"ca"));
        assert_ne!(first, key(&mirror("http://b"), b"ca"));
        assert_ne!(first, key(&mirror("http://a"), b"other"));
    }

    #[test]
    fn the_label_is_none_that_a_tenants_image_may_not_carry() {
        assert!(["paastech.", "traefik.", "com.docker."].iter().all(|prefix| !KEY_LABEL.starts_with(prefix)));
    }
}
