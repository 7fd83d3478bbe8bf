//! The images of the services, from binaries built here.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Result, bail, ensure};
use http::{Method, StatusCode};
use serde::Deserialize;

use crate::{
    base_image,
    builder::{context::Context, images},
    engine::Engine,
    http as client,
    leftovers::filters,
};

const DOCKERFILE: &str = "deploy/compose/images.Dockerfile";
const TRAEFIK: &str = "deploy/compose/traefik.Dockerfile";
/// What is Debian's as it is, each in a Dockerfile of its name.
const PACKAGED: [&str; 2] = ["postgres", "registry"];
/// What they and the stages they are made in bear.
const LABEL: &str = "io.paastech.service";
/// What the images' names begin with.
pub(crate) const REPOSITORY: &str = "paastech";
/// The targets of the Dockerfile.
const TARGETS: [&str; 6] = ["git-controller", "pomegranate", "api", "ssh-git-server", "engine-gate", "edge"];
/// What the programs are in, and the CLI, with which the installation is used.
pub(super) const PACKAGES: [&str; 7] = [
    "paastech-git-controller",
    "pomegranate",
    "paastech-api",
    "paastech-ssh-git-server",
    "paastech-edge",
    "paastech-engine-gate",
    "paastech",
];

/// Programs of these packages that have names of their own.
const FURTHER: [&str; 1] = ["paastech-admin"];

/// Makes those of this tag that the engine does not hold in their present form.
pub(super) async fn ensure(engine: &Engine, binaries: &Path, tag: &str) -> Result<()> {
    let base = images::id(engine, base_image::IMAGE).await?;
    let base = (base_image::IMAGE, base.as_str());
    for name in PACKAGED {
        let mut context = Context::new(&format!("deploy/compose/{name}.Dockerfile"))?;
        context.apt()?;
        let image = format!("{REPOSITORY}/{name}:{tag}");
        images::make(engine, "", &image, context, base, BTreeMap::new()).await?;
    }
    for target in TARGETS {
        // The engine builds the targets before this one too: their programs are empty.
        let mut context = Context::new(DOCKERFILE)?;
        context.apt()?;
        for program in PACKAGES.iter().chain(&FURTHER).filter(|program| **program != "paastech") {
            let name = format!("bin/{program}");
            if of(program) == target {
                context.program(&name, &binaries.join(program))?;
            } else {
                context.program(&name, Path::new("/dev/null"))?;
            }
        }
        let image = format!("{REPOSITORY}/{target}:{tag}");
        images::make(engine, target, &image, context, base, BTreeMap::new()).await?;
    }
    Ok(())
}

/// The image that a program is in.
fn of(program: &str) -> &str {
    match program {
        "paastech-admin" => "api",
        _ => program.strip_prefix("paastech-").unwrap_or(program),
    }
}

/// Traefik's, from a program.
pub(super) async fn traefik(engine: &Engine, program: &Path, tag: &str) -> Result<()> {
    let base = images::id(engine, base_image::IMAGE).await?;
    let mut context = Context::new(TRAEFIK)?;
    context.program("bin/traefik", program)?;
    let image = format!("{REPOSITORY}/traefik:{tag}");
    images::make(engine, "", &image, context, (base_image::IMAGE, base.as_str()), BTreeMap::new()).await
}

/// Removes those of this tag, but for what another installation runs.
pub(crate) async fn remove(engine: &Engine, tag: &str) -> Result<()> {
    for target in TARGETS.into_iter().chain(PACKAGED).chain(["traefik"]) {
        let path = format!("/images/{REPOSITORY}/{target}:{tag}");
        let answer = engine.call(Method::DELETE, &path, client::empty()).await?;
        let status = answer.status;
        if !status.is_success() && ![StatusCode::NOT_FOUND, StatusCode::CONFLICT].contains(&status) {
            bail!("the engine did not remove the image {REPOSITORY}/{target}:{tag}: {}", answer.text());
        }
    }
    sweep(engine).await
}

/// Removes those that newer ones have replaced, and what making them has left.
pub(crate) async fn sweep(engine: &Engine) -> Result<()> {
    let filters = filters([("dangling", &["true"]), ("label", &[LABEL])]);
    let answer = engine.call(Method::POST, &format!("/images/prune?{filters}"), client::empty()).await?;
    ensure!(answer.status.is_success(), "the engine did not remove old images: {}", answer.text());
    Ok(())
}

/// The ids of all, whatever their tags, and of the stages they were made in.
pub(crate) async fn ids(engine: &Engine) -> Result<BTreeSet<String>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Listed {
        id: String,
    }
    let filters = filters([("label", &[LABEL])]);
    let found: Vec<Listed> = engine.get(&format!("/images/json?{filters}")).await?.json()?;
    Ok(found.into_iter().map(|image| image.id).collect())
}
