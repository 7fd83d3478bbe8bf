//! What can go wrong in the api, by what it means to the caller.

use paastech_db::DbError;
use paastech_types::{Failure, Kind};

use crate::secrets::SealError;

/// A failure below the handlers.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A sealed value that does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A neighbour, or a rule, said no: the text is fit for the caller.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// A file of ours.
    #[error("{what}")]
    File {
        /// Which, and what was tried.
        what: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A state that no code of ours leaves behind.
    #[error("{0}")]
    Defect(&'static str),
}

impl Error {
    /// What it means to the caller.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Db(error) => error.kind(),
            Self::Failure(failure) => failure.kind,
            Self::Seal(_) | Self::File { .. } | Self::Defect(_) => Kind::Internal,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        Self::Failure(status.into())
    }
}

impl From<Error> for Failure {
    /// Internal text stays here, in the log.
    fn from(error: Error) -> Self {
        match error {
            Error::Failure(failure) => failure,
            other if other.kind() == Kind::Internal => {
                tracing::error!(error = crate::error::chain(&other), "internal error");
                Failure::new(Kind::Internal, "internal error")
            }
            other => Failure::new(other.kind(), other.to_string()),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        Failure::from(error).into()
    }
}

/// An error with its causes, for the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
