//! What a builder image says of itself, and whether it may be used.

use bollard::{models::ImageInspect, query_parameters::ListImagesOptions};
use paastech_proto::pomegranate as proto;
use serde::Deserialize;

use crate::{
    build::buildpack::{images, stop::Stop},
    config::BuildpackConfig,
    engine::Engine,
    error::Error,
};

/// Platform APIs that we speak, the best first.
const OURS: [&str; 3] = ["0.14", "0.13", "0.12"];
const METADATA: &str = "io.buildpacks.builder.metadata";

/// A builder, looked at.
#[derive(Debug)]
pub(crate) struct Builder {
    /// Its image.
    pub(crate) image: String,
    /// The user of detect and build, never root.
    pub(crate) uid: u64,
    /// See `uid`.
    pub(crate) gid: u64,
    /// The Platform API that both sides speak.
    pub(crate) platform_api: &'static str,
    /// The image that apps run in.
    pub(crate) run_image: String,
    /// What is in it.
    pub(crate) buildpacks: Vec<Buildpack>,
}

/// A buildpack by id and version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Buildpack {
    /// `paastech/python`.
    pub(crate) id: String,
    /// `0.1.0`.
    pub(crate) version: String,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    buildpacks: Vec<Buildpack>,
    #[serde(default)]
    images: Vec<RunImage>,
    stack: Option<Stack>,
    lifecycle: Lifecycle,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stack {
    run_image: RunImage,
}

#[derive(Deserialize)]
struct RunImage {
    image: String,
}

#[derive(Deserialize)]
struct Lifecycle {
    apis: Apis,
}

#[derive(Deserialize)]
struct Apis {
    platform: Api,
}

#[derive(Deserialize)]
struct Api {
    supported: Vec<String>,
}

/// Finds the builder of this name, or the default one, and its run image.
pub(crate) async fn find(
    engine: &Engine,
    config: &BuildpackConfig,
    wanted: Option<&str>,
) -> Result<Builder, Stop> {
    let image = wanted.unwrap_or(&config.builder);
    if !is_allowed(config, image) {
        let allowed = config.builders.join(", ");
        return Err(Stop::failed(format!(
            "builder: {image} is not among those that may be used: {}, {allowed}",
            config.builder
        )));
    }
    read(image, images::ensure(engine, image).await?)
}

/// The builders that the engine holds and repositories may name, the default one first.
pub(crate) async fn list(engine: &Engine, config: &BuildpackConfig) -> Result<Vec<proto::Builder>, Error> {
    let held = engine.docker().await?.list_images(None::<ListImagesOptions>).await?;
    let mut names: Vec<String> = held.into_iter().flat_map(|image| image.repo_tags).collect();
    names.retain(|name| is_allowed(config, name));
    names.sort_by_key(|name| (*name != config.builder, name.clone()));
    let mut builders = Vec::with_capacity(names.len());
    for name in names {
        let Some(image) = engine.image(&name).await? else { continue };
        builders.push(match read(&name, image) {
            Ok(builder) => builder.describe(),
            Err(Stop::Failed(unusable)) => proto::Builder { image: name, unusable, ..Default::default() },
            Err(Stop::Ours(error)) => return Err(error),
        });
    }
    Ok(builders)
}

fn is_allowed(config: &BuildpackConfig, image: &str) -> bool {
    image == config.builder || config.builders.iter().any(|pattern| matches(pattern, image))
}

/// Reads what the image says of itself.
fn read(image: &str, found: ImageInspect) -> Result<Builder, Stop> {
    let parts = found.config.unwrap_or_default();
    let labels = parts.labels.unwrap_or_default();
    let environment = parts.env.unwrap_or_default();
    let id = |name: &str| {
        let value = environment.iter().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        value.parse::<u64>().ok()
    };
    let (Some(uid), Some(gid)) = (id("CNB_USER_ID"), id("CNB_GROUP_ID")) else {
        return Err(no_builder(image, "it has no CNB_USER_ID and CNB_GROUP_ID"));
    };
    if uid == 0 {
        return Err(no_builder(image, "its builds would run as root"));
    }
    let metadata: Metadata = labels
        .get(METADATA)
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or_else(|| no_builder(image, &format!("its label {METADATA} is missing or malformed")))?;
    let theirs = metadata.lifecycle.apis.platform.supported;
    let platform_api = OURS
        .into_iter()
        .find(|ours| theirs.iter().any(|api| api == ours))
        .ok_or_else(|| no_builder(image, "its lifecycle speaks no Platform API from 0.12 to 0.14"))?;
    let run_image = metadata.images.into_iter().next().or(metadata.stack.map(|stack| stack.run_image));
    let run_image = run_image.ok_or_else(|| no_builder(image, "it names no run image"))?.image;
    Ok(Builder {
        image: image.to_owned(),
        uid,
        gid,
        platform_api,
        run_image,
        buildpacks: metadata.buildpacks,
    })
}

impl Builder {
    fn describe(self) -> proto::Builder {
        let buildpacks = self.buildpacks.into_iter();
        proto::Builder {
            image: self.image,
            run_image: self.run_image,
            platform_api: self.platform_api.to_owned(),
            buildpacks: buildpacks
                .map(|pack| proto::Buildpack { id: pack.id, version: pack.version })
                .collect(),
            unusable: String::new(),
        }
    }

    /// The buildpack that `id` or `id@version` means here.
    pub(crate) fn pick(&self, wanted: &str) -> Result<Buildpack, Stop> {
        let (id, version) =
            wanted.split_once('@').map_or((wanted, None), |(id, version)| (id, Some(version)));
        let mut fitting = self.buildpacks.iter().filter(|pack| pack.id == id);
        let found = match version {
            Some(version) => fitting.find(|pack| pack.version == version),
            None => fitting.next_back(),
        };
        found.cloned().ok_or_else(|| {
            let known: Vec<String> =
                self.buildpacks.iter().map(|pack| format!("{}@{}", pack.id, pack.version)).collect();
            Stop::failed(format!(
                "buildpack: {wanted} is not in {}, which has {}",
                self.image,
                known.join(", ")
            ))
        })
    }
}

fn no_builder(image: &str, why: &str) -> Stop {
    Stop::failed(format!("builder: {image} cannot be used: {why}"))
}

/// `heroku/builder*` means every name that begins so.
fn matches(pattern: &str, image: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => image.starts_with(beginning),
        None => image == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_ends_in_a_star_or_is_the_name() {
        assert!(matches("heroku/builder:*", "heroku/builder:24"));
        assert!(!matches("heroku/builder:*", "evil/heroku/builder:24"));
        assert!(!matches("heroku/builder", "heroku/builder:24"));
    }

    #[test]
    fn the_latest_of_a_buildpack_is_picked_unless_a_version_is_named() {
        let pack = |version: &str| Buildpack { id: "a/b".to_owned(), version: version.to_owned() };
        let builder = Builder {
            image: "x".to_owned(),
            uid: 1,
            gid: 1,
            platform_api: "0.12",
            run_image: "r".to_owned(),
            buildpacks: vec![pack("0.1.0"), pack("0.2.0")],
        };
        assert_eq!(builder.pick("a/b").ok(), Some(pack("0.2.0")));
        assert_eq!(builder.pick("a/b@0.1.0").ok(), Some(pack("0.1.0")));
        assert!(matches!(builder.pick("a/c"), Err(Stop::Failed(text)) if text.contains("a/b@0.2.0")));
    }
}
