//! Why a command did not do what it was asked, and the exit code that says so.

use std::io;

use serde::{Deserialize, Serialize};

/// The result of everything here.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// An error as the API tells it (RFC 9457).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Problem {
    #[serde(default)]
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    /// The path that was asked for.
    #[serde(skip)]
    pub(crate) path: String,
}

impl Problem {
    /// The sentence for a person.
    pub(crate) fn text(&self) -> String {
        let text = if self.detail.is_empty() { &self.title } else { &self.detail };
        match &self.field {
            // The API says no more, so that nobody learns what exists.
            _ if self.code == "not_found" => format!("{text}: {}", self.path),
            Some(field) => format!("{field}: {text}"),
            None => text.clone(),
        }
    }

    /// What lists things of the kind that was not found.
    fn whereabouts(&self) -> Option<&'static str> {
        if self.path.starts_with("/v1/projects/") {
            Some("`paastech projects` lists the projects you can see")
        } else if self.path.starts_with("/v1/operations/") {
            Some("`paastech operations` lists a project's operations")
        } else {
            None
        }
    }
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line, or where it was used, leaves something open.
    #[error("{message}")]
    Usage { message: String, hint: Option<String> },
    /// No usable log-in.
    #[error("not logged in to {api}")]
    NotLoggedIn { api: String },
    /// The API refused.
    #[error("{}", .0.text())]
    Problem(Box<Problem>),
    /// The API refused a log-in: no hint to log in.
    #[error("{}", .0.text())]
    Refused(Box<Problem>),
    /// Ours to say: the API's list does not have it.
    #[error("{0}")]
    NotFound(String),
    /// The API could not be reached, or went away.
    #[error("no answer from {api}: {reason}")]
    Unreachable { api: String, reason: String },
    /// The API answered in a way that this version does not know.
    #[error("unexpected answer from {api}: {reason}")]
    Unexpected { api: String, reason: String },
    /// What was asked for was tried and failed.
    #[error("{0}")]
    Failed(String),
    /// An operation is followed no longer, by Ctrl-C or by an error; it needs nobody to follow it.
    #[error("{why}; operation {operation} goes on")]
    StoppedFollowing { operation: String, why: String, exit_code: u8 },
    /// Files and terminals.
    #[error("cannot {doing}: {source}")]
    Io { doing: String, source: io::Error },
    /// Whoever read our output has gone: nobody to tell.
    #[error("the reader of the output went away")]
    OutputClosed,
}

impl Error {
    /// A mistake in the use of the command.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: None }
    }

    /// The same, with what to do instead.
    pub(crate) fn usage_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: Some(hint.into()) }
    }

    /// Names what was being done to a file.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// The documented exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Failed(_) | Self::Io { .. } | Self::Unexpected { .. } => 1,
            Self::Usage { .. } => 2,
            Self::NotLoggedIn { .. } | Self::Refused(_) => 3,
            Self::NotFound(_) => 4,
            Self::Unreachable { .. } => 5,
            Self::StoppedFollowing { exit_code, .. } => *exit_code,
            Self::Problem(problem) => match problem.status {
                401 | 403 => 3,
                404 => 4,
                429 | 502..=504 => 5,
                _ => 1,
            },
        }
    }

    /// Whether the same call may succeed in a moment.
    pub(crate) fn is_passing(&self) -> bool {
        self.exit_code() == 5
    }

    /// What the user can do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. } => hint.clone(),
            Self::NotLoggedIn { api } => Some(format!("paastech login {api}")),
            Self::StoppedFollowing { operation, .. } => Some(format!(
                "paastech operation {operation} --follow shows it again, paastech cancel {operation} stops it"
            )),
            Self::Unreachable { .. } => {
                Some("is the server running, and is this its address? --api URL names another".to_owned())
            }
            Self::Problem(problem) => match problem.status {
                401 => Some("paastech login".to_owned()),
                404 => problem.whereabouts().map(str::to_owned),
                429 | 503 => Some("try again in a moment".to_owned()),
                _ => None,
            },
            _ => None,
        }
    }
}
