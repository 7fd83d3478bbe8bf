//! The images of the services, from binaries built here.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;
use http::Method;

use crate::{
    base_image,
    builder::{context::Context, images},
    engine::Engine,
    http as client,
};

const DOCKERFILE: &str = "deploy/compose/images.Dockerfile";
const POSTGRES: &str = "deploy/compose/postgres.Dockerfile";
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
    let mut postgres = Context::new(POSTGRES)?;
    postgres.apt()?;
    let image = format!("{REPOSITORY}/postgres:{tag}");
    images::make(engine, "", &image, postgres, base, BTreeMap::new()).await?;
    for target in TARGETS {
        // All programs for all of them: the engine builds the targets before this one too.
        let mut context = Context::new(DOCKERFILE)?;
        context.apt()?;
        for program in PACKAGES.iter().chain(&FURTHER).filter(|program| **program != "paastech") {
            context.program(&format!("bin/{program}"), &binaries.join(program))?;
        }
        let image = format!("{REPOSITORY}/{target}:{tag}");
        images::make(engine, target, &image, context, base, BTreeMap::new()).await?;
    }
    Ok(())
}

/// Removes those of this tag.
pub(super) async fn remove(engine: &Engine, tag: &str) -> Result<()> {
    for target in TARGETS.into_iter().chain(["postgres"]) {
        engine.call(Method::DELETE, &format!("/images/{REPOSITORY}/{target}:{tag}"), client::empty()).await?;
    }
    Ok(())
}
