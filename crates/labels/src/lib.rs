//! The labels on everything we make in the engine: their names, what they say, and the signature that makes them ours.
//!
//! Image labels become container labels, so a label counts only when the whole set of `paastech.*` carries our
//! signature, and a route only when its `traefik.*` labels are exactly those we write.

mod host;
mod object;
mod prefix;
mod proxy;
mod route;
mod sign;

pub use host::HostName;
pub use object::{ObjectKind, ObjectLabels};
pub use prefix::image_prefix;
pub use proxy::{EDGE_ANSWER, Route, Routes};
pub use route::{RouteLabels, router_name};
pub use sign::{InvalidKey, LabelKey};

/// Names of our labels.
pub mod names {
    /// The installation an object belongs to.
    pub const INSTANCE: &str = "paastech.instance";
    /// What the object is: see [`crate::ObjectKind`].
    pub const KIND: &str = "paastech.kind";
    /// The installation whose registry a container is.
    pub const REGISTRY: &str = "paastech.registry";
    /// The project's id.
    pub const PROJECT: &str = "paastech.project";
    /// The release's id.
    pub const RELEASE: &str = "paastech.release";
    /// The build's id, on what lives as long as one build.
    pub const BUILD: &str = "paastech.build";
    /// The release's number within its project.
    pub const SEQ: &str = "paastech.seq";
    /// Which process type the container runs.
    pub const PROCESS: &str = "paastech.process";
    /// Which of the release's containers it is, from 1.
    pub const ORDINAL: &str = "paastech.ordinal";
    /// Host names it is reached by, separated by commas.
    pub const HOSTS: &str = "paastech.hosts";
    /// The port the app listens on.
    pub const PORT: &str = "paastech.port";
    /// The network the proxy reaches it on.
    pub const NETWORK: &str = "paastech.network";
    /// A hash of what the container was created from.
    pub const SPEC: &str = "paastech.spec";
    /// The signature over all other `paastech.*` labels.
    pub const SIG: &str = "paastech.sig";
}

/// Prefixes that only we may write: an image that carries one is refused.
pub const RESERVED_PREFIXES: [&str; 3] = ["traefik.", "paastech.", "com.docker."];

/// The label selector for everything of one installation, as the engine's list filters take it.
#[must_use]
pub fn instance_selector(instance: &str) -> String {
    format!("{}={instance}", names::INSTANCE)
}

/// The first reserved label among these keys, compared without regard to case as Traefik does.
pub fn reserved<'a>(keys: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    keys.into_iter().find(|key| {
        let lower = key.to_ascii_lowercase();
        RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
    })
}

/// Why labels do not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// They belong to another installation, or to nobody.
    #[error("not of this installation")]
    Foreign,
    /// Something was added, changed or taken away after we signed.
    #[error("the signature does not hold")]
    Forged,
    /// Signed by us, but it does not say what it must.
    #[error("label {0} is missing or malformed")]
    Malformed(&'static str),
    /// A `traefik.*` label that is not the one we write.
    #[error("label {0} is not one we wrote")]
    Extra(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_labels_are_found_whatever_their_case() {
        assert_eq!(reserved(["a", "Traefik.enable"]), Some("Traefik.enable"));
        assert_eq!(reserved(["paastech.sig"]), Some("paastech.sig"));
        assert_eq!(reserved(["com.docker.compose.project"]), Some("com.docker.compose.project"));
        assert_eq!(reserved(["org.opencontainers.image.title", "traefikish"]), None);
    }
}
