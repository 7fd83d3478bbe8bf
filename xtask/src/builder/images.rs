//! The three images, each under a key over all that goes into it.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Result, bail};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    base_image,
    builder::{buildpacks::Buildpack, context::Context, lifecycle},
    engine::Engine,
    http as client,
    progress::Step,
};

/// What apps run in.
pub(crate) const RUN: &str = "paastech/run:12";
/// What builds them.
pub(crate) const BUILDER: &str = "paastech/builder:12";
/// Upstream's phases alone.
pub(crate) const LIFECYCLE: &str = "paastech/lifecycle:12";
const DOCKERFILE: &str = "buildpacks/builder/Dockerfile";
const KEY_LABEL: &str = "io.paastech.builder-key";

/// Makes those that the engine does not hold in their present form.
pub(crate) async fn ensure(engine: &Engine, lifecycle: &Path, packs: &[Buildpack]) -> Result<()> {
    let base = id(engine, base_image::IMAGE).await?;
    let mut only_lifecycle = Context::new("buildpacks/builder/lifecycle.Dockerfile")?;
    only_lifecycle.lifecycle(lifecycle)?;
    let base = (base_image::IMAGE, base.as_str());
    make(engine, "", LIFECYCLE, only_lifecycle, base, BTreeMap::new()).await?;
    let mut run = Context::new(DOCKERFILE)?;
    run.apt()?;
    make(engine, "run", RUN, run, base, BTreeMap::new()).await?;
    let mut builder = Context::new(DOCKERFILE)?;
    builder.apt()?;
    builder.lifecycle(lifecycle)?;
    builder.buildpacks(packs)?;
    let labels = BTreeMap::from([("io.buildpacks.builder.metadata", metadata(packs).to_string())]);
    make(engine, "builder", BUILDER, builder, base, labels).await
}

/// As platforms read it: what is in the builder, and what its lifecycle speaks.
fn metadata(packs: &[Buildpack]) -> Value {
    let packs: Vec<Value> =
        packs.iter().map(|pack| json!({ "id": pack.id, "version": pack.version })).collect();
    json!({
        "description": "Debian 12 with the buildpacks of PaaSTech",
        "buildpacks": packs,
        "stack": { "runImage": { "image": RUN } },
        "images": [{ "image": RUN }],
        "lifecycle": {
            "version": lifecycle::VERSION,
            "apis": {
                "buildpack": { "deprecated": [], "supported": lifecycle::BUILDPACK_APIS },
                "platform": { "deprecated": [], "supported": lifecycle::PLATFORM_APIS },
            },
        },
        "createdBy": { "name": "cargo xtask builder", "version": env!("CARGO_PKG_VERSION") },
    })
}

/// Makes one on a base, which has a name and an id, unless the engine has it in this form.
pub(crate) async fn make(
    engine: &Engine,
    target: &str,
    image: &str,
    context: Context,
    (base, base_id): (&str, &str),
    mut labels: BTreeMap<&str, String>,
) -> Result<()> {
    let step = Step::new(format!("image {image}"));
    let (context, hash) = context.finish()?;
    let key = format!("{hash}-{}", base_id.trim_start_matches("sha256:"));
    if label(engine, image, KEY_LABEL).await?.as_ref() == Some(&key) {
        step.skip("the engine has it");
        return Ok(());
    }
    labels.insert(KEY_LABEL, key);
    build(engine, &step, target, image, context, base, &labels).await?;
    step.done("made");
    Ok(())
}

/// Has the engine build an image from a context whose Dockerfile begins from the argument BASE.
pub(crate) async fn build(
    engine: &Engine,
    step: &Step,
    target: &str,
    image: &str,
    context: Vec<u8>,
    base: &str,
    labels: &BTreeMap<&str, String>,
) -> Result<()> {
    let arguments = json!({ "BASE": base });
    let query = [
        ("t", image.to_owned()),
        ("target", target.to_owned()),
        ("buildargs", arguments.to_string()),
        ("labels", json!(labels).to_string()),
        ("rm", "1".to_owned()),
        ("forcerm", "1".to_owned()),
    ];
    let query: Vec<String> = query
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
        .collect();
    let path = format!("/build?{}", query.join("&"));
    let mut failure = None;
    let told = |line: &str| {
        let Ok(event) = serde_json::from_str::<Event>(line) else { return };
        if let Some(words) = event.stream.as_deref().map(str::trim).filter(|words| words.starts_with("Step "))
        {
            step.note(words.split_once(" : ").map_or(words, |(_, instruction)| instruction));
        }
        failure = event.error.or(failure.take());
    };
    engine.stream(Method::POST, &path, client::full(context), told).await?;
    if let Some(failure) = failure {
        bail!("{image} could not be made: {failure}");
    }
    Ok(())
}

#[derive(Deserialize)]
struct Event {
    stream: Option<String>,
    error: Option<String>,
}

/// An image's id.
pub(crate) async fn id(engine: &Engine, image: &str) -> Result<String> {
    let found: Value = engine.get(&format!("/images/{image}/json")).await?.json()?;
    Ok(found["Id"].as_str().unwrap_or_default().to_owned())
}

/// A label of an image; `None` without the image or the label.
pub(crate) async fn label(engine: &Engine, image: &str, name: &str) -> Result<Option<String>> {
    let answer = engine.get(&format!("/images/{image}/json")).await?;
    if answer.status == http::StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let found: Value = answer.json()?;
    Ok(found["Config"]["Labels"][name].as_str().map(str::to_owned))
}
