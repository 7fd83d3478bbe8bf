//! What installations of ours have in the engine, told apart by the label `paastech.instance`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use anyhow::{Result, bail};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{engine::Engine, http as client};

const INSTANCE: &str = "paastech.instance";

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
    /// The installation it belongs to.
    pub(crate) instance: String,
}

impl Object {
    /// Whether it is an image: what it takes to start again without a build.
    pub(crate) fn is_image(&self) -> bool {
        self.kind == Kind::Image
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} of instance {}", self.kind, self.id, self.instance)
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

/// Everything that carries the label, or the label with that value.
pub(crate) async fn list(engine: &Engine, instance: Option<&str>) -> Result<Vec<Object>> {
    let label = instance.map_or_else(|| INSTANCE.to_owned(), |value| format!("{INSTANCE}={value}"));
    let filters = encode(&json!({ "label": [label] }).to_string());
    let mut objects = Vec::new();
    for (kind, path) in [
        (Kind::Container, "containers/json?all=true&"),
        (Kind::Network, "networks?"),
        (Kind::Volume, "volumes?"),
        (Kind::Image, "images/json?"),
    ] {
        let mut value: Value = engine.get(&format!("/{path}filters={filters}")).await?.json()?;
        if kind == Kind::Volume {
            value = value["Volumes"].take();
        }
        let listed: Option<Vec<Listed>> = serde_json::from_value(value)?;
        objects.extend(listed.unwrap_or_default().into_iter().map(|found| Object {
            kind,
            id: found.id.or(found.name).unwrap_or_default(),
            instance: found.labels.and_then(|mut labels| labels.remove(INSTANCE)).unwrap_or_default(),
        }));
    }
    Ok(objects)
}

/// The installations that have anything in the engine.
pub(crate) async fn instances(engine: &Engine) -> Result<BTreeSet<String>> {
    Ok(list(engine, None).await?.into_iter().map(|object| object.instance).collect())
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

/// Percent-encodes a value of a query.
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => encoded.push(char::from(byte)),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_value_is_encoded() {
        assert_eq!(encode("{\"a\":[\"b=1\"]}"), "%7B%22a%22%3A%5B%22b%3D1%22%5D%7D");
    }

    #[test]
    fn containers_go_before_what_they_use() {
        let object = |kind| Object { kind, id: String::new(), instance: String::new() };
        let mut objects = [Kind::Image, Kind::Volume, Kind::Network, Kind::Container].map(object);
        objects.sort();
        assert_eq!(
            objects.map(|object| object.kind),
            [Kind::Container, Kind::Network, Kind::Volume, Kind::Image]
        );
    }
}
