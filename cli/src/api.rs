//! The parts of the API's bodies that people are shown. With `--json` the bodies are passed on whole.

use serde::Deserialize;

/// Bodies of collections.
#[derive(Debug, Deserialize)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
}

/// The answer to a log-in or a refresh.
#[derive(Deserialize)]
pub(crate) struct LogIn {
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    /// Seconds.
    pub(crate) expires_in: i64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Account {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) email: Option<String>,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) role: Option<String>,
    #[serde(default)]
    pub(crate) trusted: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) algorithm: String,
    pub(crate) fingerprint: String,
    pub(crate) created_at: i64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Project {
    pub(crate) id: String,
    pub(crate) slug: String,
    #[serde(default)]
    pub(crate) git_url: Option<String>,
    #[serde(default)]
    pub(crate) url: Option<String>,
    #[serde(default)]
    pub(crate) deploy_branch: Option<String>,
    #[serde(default)]
    pub(crate) auto_deploy: Option<bool>,
    #[serde(default)]
    pub(crate) health_path: Option<String>,
    #[serde(default)]
    pub(crate) desired_state: Option<String>,
    #[serde(default)]
    pub(crate) active_release: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Release {
    pub(crate) seq: i64,
    pub(crate) commit: String,
    pub(crate) reason: String,
    pub(crate) configuration_version: i64,
    pub(crate) created_at: i64,
    /// When it got the traffic, if ever.
    pub(crate) deployed_at: Option<i64>,
    /// Whether it has the traffic now.
    pub(crate) active: bool,
    /// What runs; only in the answer for one release.
    pub(crate) image: Option<Image>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Image {
    pub(crate) size_bytes: u64,
    pub(crate) port: u16,
    pub(crate) processes: Vec<Process>,
    pub(crate) buildpacks: Vec<Buildpack>,
    pub(crate) builder: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) declared: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Buildpack {
    pub(crate) id: String,
    pub(crate) version: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Builders {
    pub(crate) items: Vec<Builder>,
    /// Names that a repository may give besides.
    pub(crate) allowed: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Builder {
    pub(crate) image: String,
    pub(crate) run_image: String,
    pub(crate) platform_api: String,
    pub(crate) buildpacks: Vec<Buildpack>,
    /// Why no build can use it.
    #[serde(default)]
    pub(crate) unusable: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) commit: Option<String>,
    #[serde(default)]
    pub(crate) step: Option<String>,
    #[serde(default)]
    pub(crate) url: Option<String>,
    #[serde(default)]
    pub(crate) error: Option<OperationError>,
    pub(crate) created_at: i64,
}

impl Operation {
    /// Whether nothing more will happen to it.
    pub(crate) fn has_ended(&self) -> bool {
        !matches!(self.state.as_str(), "queued" | "running" | "undoing")
    }

    /// Why it failed.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.error.as_ref().map(|error| error.message.as_str())
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct OperationError {
    pub(crate) message: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) value: Option<String>,
    #[serde(default)]
    pub(crate) build: bool,
    pub(crate) set_at: i64,
}

impl Variable {
    pub(crate) fn is_secret(&self) -> bool {
        self.kind == "secret"
    }
}

/// A line of an operation's or an app's log.
#[derive(Debug, Deserialize)]
pub(crate) struct Line {
    #[serde(default)]
    pub(crate) seq: Option<u64>,
    #[serde(default)]
    pub(crate) at: i64,
    #[serde(default)]
    pub(crate) container: Option<String>,
    pub(crate) text: String,
}

/// A container's name as people can tell it from its neighbours: of `pt-<project>-<release>-<n>` the end of the
/// release's id, and the number.
pub(crate) fn short_container(name: &str) -> &str {
    const SHOWN: usize = 8;
    let Some((ids, _)) = name.strip_prefix("pt-").and_then(|rest| rest.rsplit_once('-')) else { return name };
    let hidden = "pt-".len() + ids.len().saturating_sub(SHOWN);
    name.get(hidden..).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_shown_by_the_end_of_its_name() {
        let name = "pt-01a203ac-d3ae-755b-b445-12c8c6f2b2b7-01a203b9-358c-7401-a498-90ed78665c82-12";
        assert_eq!(short_container(name), "78665c82-12");
        for name in ["web-1", "pt-", "pt-1", "pt-é-1", ""] {
            assert!(name.ends_with(short_container(name)), "{name}");
        }
    }
}
