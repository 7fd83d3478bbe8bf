//! How much longer a build takes than its phases, and what a cache is worth.

use anyhow::{Context, Result, ensure};
use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::by_hand;
use crate::{base_image, builder, engine, instance::Instance, sample, up};

/// Odd, so that one of them is the median.
const ROUNDS: usize = 3;
const RATIO_LIMIT: f64 = 1.1;

#[derive(Deserialize)]
struct Page {
    items: Vec<Operation>,
}

#[derive(Deserialize)]
struct Operation {
    id: String,
}

/// Builds in turn, by the platform and by hand, so that the network's moods hit both.
pub(crate) async fn run() -> Result<()> {
    let engine = engine::ensure().await?;
    base_image::ensure(&engine).await?;
    builder::ensure(&engine).await?;
    let binaries = up::build(up::PROGRAMS, true).await?;
    let dir = tempfile::Builder::new().prefix("pt-bench-").tempdir()?;
    let (mut ours, mut again, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(by_hand::run(&engine).await?.as_secs_f64());
        let instance = Instance::start(dir.path(), engine.clone(), binaries.clone()).await?;
        let measured = measure(&instance).await;
        instance.stop().await?;
        let (first, second) = measured?;
        ours.push(first);
        again.push(second);
    }
    let (ours, again, theirs) = (median(ours), median(again), median(theirs));
    let ratio = ours / theirs;
    println!(
        "a build of samples/{} takes {ours:.1} s, its phases by hand {theirs:.1} s: ratio {ratio:.2} (at most \
         {RATIO_LIMIT}); after a small change {again:.1} s; medians of {ROUNDS}",
        sample::SAMPLE
    );
    ensure!(ratio <= RATIO_LIMIT, "that is too much");
    Ok(())
}

/// Seconds of the first build, and of one after a change that no layer of it depends on.
async fn measure(instance: &Instance) -> Result<(f64, f64)> {
    sample::deploy(&instance.layout, &instance.account, &instance.ports).await?;
    let first = seconds(instance).await?;
    sample::change(&instance.layout, &instance.ports).await?;
    Ok((first, seconds(instance).await?))
}

/// What the newest build took, from its own log: from when it began to when its image was there.
async fn seconds(instance: &Instance) -> Result<f64> {
    let path = format!("/v1/projects/{}/builds?limit=1", sample::SLUG);
    let page: Page = instance.account.call(Method::GET, &path, None).await?.json()?;
    let build = page.items.first().context("no build")?;
    let path = format!("/v1/operations/{}/log?follow=false", build.id);
    let log = instance.account.call(Method::GET, &path, None).await?.text();
    let at = |words: &str| {
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut lines = lines.filter(|line| line["text"].as_str().is_some_and(|text| text.contains(words)));
        let line = lines.next().with_context(|| format!("the log has no line with {words:?}: {log}"))?;
        line["at"].as_f64().context("a line has a time")
    };
    Ok((at("Built an image")? - at("Building with")?) / 1000.0)
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}
