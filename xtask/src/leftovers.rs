//! What installations of ours have in the engine: told apart by the label `paastech.instance`, and images, which
//! bear no label of ours, by what their references begin with.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use anyhow::{Result, bail};
use http::{Method, StatusCode};
use paastech_labels::{
    image_prefix,
    names::{INSTANCE, REGISTRY},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{engine::Engine, http as client};

/// The engine's kinds of object, in the order in which they can be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Container,
    Network,
    Volume,
    Image,
}

/// One object of ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Object {
    kind: Kind,
    id: String,
    /// What the names of its installation's things begin with.
    pub(crate) prefix: String,
}

impl Object {
    /// Whether it is a container: an app, or a build.
    pub(crate) fn is_container(&self) -> bool {
        self.kind == Kind::Container
    }

    /// Whether it is an image: what it takes to start again without a build.
    pub(crate) fn is_image(&self) -> bool {
        self.kind == Kind::Image
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} of installation {}", self.kind, self.id, self.prefix)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    /// Volumes have none.
    id: Option<String>,
    name: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedImage {
    repo_tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
}

/// Where an installation's own registry is; its port follows.
const LOOPBACK: &str = "127.0.0.1:";

/// Everything of every installation, or of that one without its registry's.
pub(crate) async fn list(engine: &Engine, instance: Option<&str>) -> Result<Vec<Object>> {
    let label = instance.map_or_else(|| INSTANCE.to_owned(), |value| format!("{INSTANCE}={value}"));
    let filters = filters([("label", &[&label])]);
    let mut objects = Vec::new();
    for (kind, path) in [
        (Kind::Container, "containers/json?all=true&"),
        (Kind::Network, "networks?"),
        (Kind::Volume, "volumes?"),
    ] {
        let mut value: Value = engine.get(&format!("/{path}{filters}")).await?.json()?;
        if kind == Kind::Volume {
            value = value["Volumes"].take();
        }
        let listed: Option<Vec<Listed>> = serde_json::from_value(value)?;
        objects.extend(listed.unwrap_or_default().into_iter().map(|found| Object {
            kind,
            id: found.id.or(found.name).unwrap_or_default(),
            prefix: image_prefix(found.labels.unwrap_or_default().get(INSTANCE).map_or("", String::as_str)),
        }));
    }
    let prefix = instance.map(image_prefix);
    // One image may be that of several installations.
    let own = |found: &Object| prefix.as_ref().is_none_or(|own| *own == found.prefix);
    objects.extend(list_images(engine).await?.filter(own));
    Ok(objects)
}

/// What the engine's lists are asked for, as a query.
pub(crate) fn filters<const N: usize>(by: [(&str, &[&str]); N]) -> String {
    let text = json!(BTreeMap::from(by)).to_string();
    format!("filters={}", utf8_percent_encode(&text, NON_ALPHANUMERIC))
}

/// Whether there is an installation under docker-compose: each has a registry.
pub(crate) async fn is_any_installed(engine: &Engine) -> Result<bool> {
    let path = format!("/containers/json?all=true&{}", filters([("label", &[REGISTRY])]));
    let found: Vec<Value> = engine.get(&path).await?.json()?;
    Ok(!found.is_empty())
}

/// The images that the engine has from, or has pushed to, an installation's own registry.
pub(crate) async fn of_registry(engine: &Engine, address: &str) -> Result<Vec<Object>> {
    Ok(list_images(engine).await?.filter(|found| found.prefix == address).collect())
}

async fn list_images(engine: &Engine) -> Result<impl Iterator<Item = Object> + use<>> {
    let filters = filters([("reference", &["pt-*/*", &format!("{LOOPBACK}*/apps/*")])]);
    Ok(images(engine.get(&format!("/images/json?{filters}")).await?.json()?))
}

/// One image for each of its references.
fn images(listed: Vec<ListedImage>) -> impl Iterator<Item = Object> + use<> {
    let references = listed.into_iter().flat_map(|image| [image.repo_tags, image.repo_digests]).flatten();
    references.flatten().filter_map(|id| {
        let (prefix, _) = id.split_once('/')?;
        let ours = prefix.starts_with("pt-") || prefix.starts_with(LOOPBACK);
        let prefix = ours.then(|| prefix.to_owned())?;
        Some(Object { kind: Kind::Image, id, prefix })
    })
}

/// The installations that have anything in the engine, by what their things' names begin with.
pub(crate) async fn installations(engine: &Engine) -> Result<BTreeSet<String>> {
    Ok(list(engine, None).await?.into_iter().map(|object| object.prefix).collect())
}

/// Removes these objects.
pub(crate) async fn remove(engine: &Engine, mut objects: Vec<Object>) -> Result<()> {
    objects.sort();
    for object in &objects {
        let path = match object.kind {
            Kind::Container => format!("/containers/{}?force=true&v=true", object.id),
            Kind::Network => format!("/networks/{}", object.id),
            Kind::Volume => format!("/volumes/{}?force=true", object.id),
            Kind::Image => format!("/images/{}?force=true", object.id),
        };
        let answer = engine.call(Method::DELETE, &path, client::empty()).await?;
        if !answer.status.is_success() && answer.status != StatusCode::NOT_FOUND {
            bail!("the engine did not remove {object}: {}", answer.text());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_its_installations_by_each_of_its_references() {
        let listed = json!([
            { "Id": "sha256:1", "RepoTags": ["pt-ba7816bf/p:a", "pt-ba7816bf/p:b", "other/p:c"], "Labels": null },
            { "Id": "sha256:2", "RepoTags": null },
            { "Id": "sha256:3", "RepoTags": null, "RepoDigests": ["127.0.0.1:5000/apps/p@sha256:4"] },
        ]);
        let objects: Vec<Object> = images(serde_json::from_value(listed).unwrap()).collect();
        let prefix = image_prefix("abc");
        let object = |id: &str| Object { kind: Kind::Image, id: id.to_owned(), prefix: prefix.clone() };
        let pulled =
            Object { prefix: "127.0.0.1:5000".to_owned(), ..object("127.0.0.1:5000/apps/p@sha256:4") };
        assert_eq!(objects, [object("pt-ba7816bf/p:a"), object("pt-ba7816bf/p:b"), pulled]);
    }

    #[test]
    fn containers_go_before_what_they_use() {
        let object = |kind| Object { kind, id: String::new(), prefix: String::new() };
        let mut objects = [Kind::Image, Kind::Volume, Kind::Network, Kind::Container].map(object);
        objects.sort();
        assert_eq!(
            objects.map(|object| object.kind),
            [Kind::Container, Kind::Network, Kind::Volume, Kind::Image]
        );
    }
}
