//! What can go wrong here, and what it means to the caller.

use std::io;

use bollard::errors::Error as EngineError;
use paastech_types::{Failure, Kind};
use tonic::Status;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A field of the request is malformed.
    #[error("{0}")]
    Invalid(String),
    /// There is no such thing.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// Somebody with a higher fence has been here.
    #[error("fence {given} is lower than {highest}, the highest seen")]
    Fence {
        /// The call's.
        given: i64,
        /// The highest seen for the project.
        highest: i64,
    },
    /// The image may not run here, or something that is not ours is in the way.
    #[error("{0}")]
    Refused(String),
    /// A limit is reached.
    #[error("{0}")]
    Exhausted(String),
    /// Not now: worth another try.
    #[error("{0}")]
    NotYet(String),
    /// Something of ours is not as it must be.
    #[error("{0}")]
    Broken(String),
    /// The engine failed or does not answer.
    #[error("the container engine: {0}")]
    Engine(#[from] EngineError),
    /// The state folder failed.
    #[error("the state folder: {0}")]
    State(#[from] io::Error),
}

impl Error {
    /// The registry does not answer.
    pub(crate) fn away() -> Self {
        Self::NotYet("the registry does not answer".to_owned())
    }

    /// What it means to the caller.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) => Kind::Invalid,
            Self::NotFound(_) => Kind::NotFound,
            Self::Fence { .. } => Kind::Conflict,
            Self::Refused(_) => Kind::Precondition,
            Self::Exhausted(_) => Kind::Exhausted,
            Self::NotYet(_) => Kind::Unavailable,
            Self::Engine(error) if is_away(error) => Kind::Unavailable,
            Self::Broken(_) | Self::Engine(_) => Kind::Internal,
            Self::State(error) if error.kind() == io::ErrorKind::StorageFull => Kind::Exhausted,
            Self::State(_) => Kind::Internal,
        }
    }
}

impl From<Error> for Status {
    /// Logs what the caller is not told.
    fn from(error: Error) -> Self {
        let kind = error.kind();
        let message = match &error {
            Error::Engine(inner) => {
                tracing::error!(error = %inner, "the container engine failed");
                match kind {
                    Kind::Unavailable => "the container engine does not answer".to_owned(),
                    _ => "the container engine refused".to_owned(),
                }
            }
            Error::State(inner) => {
                tracing::error!(error = %inner, "the state folder failed");
                match kind {
                    Kind::Exhausted => "the disk is full".to_owned(),
                    _ => "the state folder failed".to_owned(),
                }
            }
            told => told.to_string(),
        };
        Failure::new(kind, message).into()
    }
}

/// Whether there is no connection to the engine, or none any more.
fn is_away(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::IOError { .. }
            | EngineError::HyperResponseError { .. }
            | EngineError::HyperLegacyError { .. }
            | EngineError::SocketNotFoundError(_)
            | EngineError::RequestTimeoutError
    )
}

/// Whether the engine said that there is no such object.
pub(crate) fn is_absent(error: &EngineError) -> bool {
    has_status(error, 404)
}

/// Whether the engine answered with this HTTP status.
pub(crate) fn has_status(error: &EngineError, status: u16) -> bool {
    matches!(error, EngineError::DockerResponseServerError { status_code, .. } if *status_code == status)
}

/// Absence as success, for what must be repeatable.
pub(crate) fn absent_is_fine(result: Result<(), EngineError>) -> Result<(), Error> {
    match result {
        Err(error) if !is_absent(&error) => Err(error.into()),
        _ => Ok(()),
    }
}
