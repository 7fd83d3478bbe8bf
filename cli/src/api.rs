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
    #[serde(default)]
    pub(crate) email: Option<String>,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) role: Option<String>,
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
}

#[derive(Debug, Deserialize)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) state: String,
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
