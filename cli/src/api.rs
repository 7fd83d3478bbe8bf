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
    pub(crate) active_release: Option<ReleaseRef>,
}

/// How one body names a release of another: by its number, its id, or whole.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum ReleaseRef {
    Seq(i64),
    Id(String),
    Whole { seq: i64 },
}

impl ReleaseRef {
    /// `v3`, or the id.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Seq(seq) | Self::Whole { seq } => format!("v{seq}"),
            Self::Id(id) => id.clone(),
        }
    }

    /// Whether it is this one.
    pub(crate) fn is(&self, release: &Release) -> bool {
        match self {
            Self::Seq(seq) | Self::Whole { seq } => *seq == release.seq,
            Self::Id(id) => *id == release.id,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Release {
    pub(crate) id: String,
    pub(crate) seq: i64,
    #[serde(default)]
    pub(crate) commit: Option<String>,
    #[serde(default)]
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) configuration_version: Option<i64>,
    pub(crate) created_at: i64,
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
    pub(crate) container: Option<String>,
    pub(crate) text: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_release_is_known_by_number_id_or_whole() {
        for (body, label) in [(json!(3), "v3"), (json!("abc"), "abc"), (json!({"id": "abc", "seq": 3}), "v3")]
        {
            let reference: ReleaseRef = serde_json::from_value(body).unwrap();
            assert_eq!(reference.label(), label);
        }
    }
}
