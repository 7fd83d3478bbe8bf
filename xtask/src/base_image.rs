//! `cargo xtask base-image`: the image `paastech/base:12`, Debian 12 with Python and this host's CA bundle, made from
//! the public Debian image where a registry has it, from packages otherwise. The key is over all that goes into it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use rustix::process::geteuid;
use sha2::{Digest, Sha256};

use crate::{
    apt::{self, Mirror},
    builder::{self, images},
    engine::Engine,
    http as client, interrupt, paths, process,
    progress::Step,
};

/// What samples and builders begin from.
pub(crate) const IMAGE: &str = "paastech/base:12";
/// What it is made from where that can be had.
const PUBLIC: &str = "debian:bookworm";
/// Not `paastech.*`: images inherit labels, and those are refused in a tenant's image.
const KEY_LABEL: &str = "io.paastech.base-key";
/// The Debian release of all our images.
pub(crate) const SUITE: &str = "bookworm";
const PACKAGES: &str = "ca-certificates,python3";
const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Counts changes to the recipe below.
const RECIPE: &str = "1";

/// Makes the image unless the engine holds it already.
pub(crate) async fn ensure(engine: &Engine) -> Result<()> {
    let step = Step::new(format!("base image {IMAGE}"));
    let mirror = apt::mirror(SUITE)?;
    let bundle = fs::read(CA_BUNDLE).unwrap_or_default();
    let key = key(&mirror, &bundle);
    if images::label(engine, IMAGE, KEY_LABEL).await?.as_ref() == Some(&key) {
        step.skip("the engine has it");
        return Ok(());
    }
    if pull(engine, PUBLIC).await? {
        step.note("packages");
        from_public(engine, &step, &bundle, key).await?;
        step.done(&format!("made from {PUBLIC}"));
        return Ok(());
    }
    if !geteuid().is_root() {
        ensure!(
            engine.get(&format!("/images/{IMAGE}/json")).await?.status.is_success(),
            "no registry has {PUBLIC}, and making {IMAGE} from packages needs root: run `sudo cargo xtask base-image` once"
        );
        step.skip("the engine has it, and only root can make it anew");
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

/// Whether the engine has a public image now.
pub(crate) async fn pull(engine: &Engine, image: &str) -> Result<bool> {
    let (name, tag) = image.split_once(':').expect("the image's name has a tag");
    let path = format!("/images/create?fromImage={name}&tag={tag}");
    // What it says of its failure is of no interest: it has the image afterwards, or not.
    drop(engine.stream(Method::POST, &path, client::empty(), |_| {}).await);
    interrupt::check()?;
    Ok(engine.get(&format!("/images/{image}/json")).await?.status.is_success())
}

async fn from_public(engine: &Engine, step: &Step, bundle: &[u8], key: String) -> Result<()> {
    let mut context = builder::context::Context::new("buildpacks/builder/base.Dockerfile")?;
    context.apt()?;
    context.certificates(bundle)?;
    let (context, _) = context.finish()?;
    images::build(engine, step, "", IMAGE, context, PUBLIC, &[(KEY_LABEL, key)].into()).await
}

fn key(mirror: &Mirror, bundle: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [RECIPE.as_bytes(), SUITE.as_bytes(), PACKAGES.as_bytes(), mirror.url.as_bytes(), bundle] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
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
