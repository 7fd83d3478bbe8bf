//! The registry of built images, as the api and Pomegranate share it: what repositories are called, and the tokens that
//! open one of them for a while. The registry itself knows no accounts, and believes what the api has signed.

#[cfg(feature = "testing")]
pub mod testing;
mod token;

use paastech_types::ProjectId;

pub use self::token::{Action, TokenConfig, TokenError, TokenKey};

/// What the projects' repositories begin with unless it is configured.
#[must_use]
pub fn default_prefix() -> String {
    "apps".to_owned()
}

/// A project's repository within the registry; what comes before the id may have several parts.
#[must_use]
pub fn repository(prefix: &str, project: ProjectId) -> String {
    format!("{prefix}/{project}")
}
