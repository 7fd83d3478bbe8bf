//! The exported image, checked before anybody may run it, and what it says of itself.

use bollard::models::ImageInspect;
use paastech_proto::pomegranate::{Buildpack, Process};
use serde::Deserialize;

use crate::{build::buildpack::stop::Stop, error::Error, release::spec::refusal};

const BUILD_METADATA: &str = "io.buildpacks.build.metadata";
const LAUNCHER_DIR: &str = "/cnb/process/";

#[derive(Deserialize)]
struct Metadata {
    processes: Option<Vec<Declared>>,
    buildpacks: Option<Vec<Used>>,
}

#[derive(Deserialize)]
struct Declared {
    #[serde(rename = "type")]
    kind: String,
    command: Command,
    args: Option<Vec<String>>,
}

/// A list since Platform API 0.10.
#[derive(Deserialize)]
#[serde(untagged)]
enum Command {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Used {
    id: String,
    version: String,
}

/// What the label of a good image says.
pub(crate) struct Verified {
    pub(crate) processes: Vec<Process>,
    pub(crate) buildpacks: Vec<Buildpack>,
}

/// Its base is the run image, its user is not root, its command is the launcher's, no label is reserved.
pub(crate) fn check(image: &ImageInspect, run_image: &ImageInspect) -> Result<Verified, Stop> {
    if let Some(why) = refusal(image, true) {
        return Err(Stop::Failed(why));
    }
    let layers =
        |image: &ImageInspect| image.root_fs.as_ref().and_then(|fs| fs.layers.clone()).unwrap_or_default();
    let base = layers(run_image);
    if base.is_empty() || !layers(image).starts_with(&base) {
        return Err(broken("the image does not stand on the run image"));
    }
    let config = image.config.clone().unwrap_or_default();
    let entrypoint = config.entrypoint.unwrap_or_default();
    if !matches!(&entrypoint[..], [one] if one.starts_with(LAUNCHER_DIR)) {
        return Err(broken("the image does not start with the launcher"));
    }
    let labels = config.labels.unwrap_or_default();
    let metadata: Metadata = labels
        .get(BUILD_METADATA)
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or_else(|| broken("the image does not say what built it"))?;
    let processes = metadata.processes.unwrap_or_default().into_iter().map(|declared| Process {
        command: Vec::new(),
        declared: words(declared.command, declared.args.unwrap_or_default()),
        name: declared.kind,
    });
    let buildpacks = metadata.buildpacks.unwrap_or_default().into_iter();
    Ok(Verified {
        processes: processes.collect(),
        buildpacks: buildpacks.map(|used| Buildpack { id: used.id, version: used.version }).collect(),
    })
}

fn words(command: Command, args: Vec<String>) -> String {
    let command = match command {
        Command::One(word) => vec![word],
        Command::Many(words) => words,
    };
    command.into_iter().chain(args).collect::<Vec<_>>().join(" ")
}

fn broken(text: &str) -> Stop {
    Stop::Ours(Error::Broken(text.to_owned()))
}
