//! Reads the fields that many requests share.

use std::str::FromStr;

use paastech_proto::pomegranate as proto;
use paastech_types::ProjectId;

use crate::{error::Error, fence::Scope};

/// A project and its fence.
pub(crate) fn scope(scope: Option<proto::Scope>) -> Result<Scope, Error> {
    let scope = scope.ok_or_else(|| Error::Invalid("scope: missing".to_owned()))?;
    if scope.fence < 0 {
        return Err(Error::Invalid("scope.fence: from 0".to_owned()));
    }
    Ok(Scope { project: project(&scope.project_id)?, fence: scope.fence })
}

/// A project's id.
pub(crate) fn project(text: &str) -> Result<ProjectId, Error> {
    id(text, "project_id")
}

/// An id in the field `name`.
pub(crate) fn id<T: FromStr>(text: &str, name: &str) -> Result<T, Error> {
    text.parse().map_err(|_| Error::Invalid(format!("{name}: not a UUID in its 36-character form")))
}
