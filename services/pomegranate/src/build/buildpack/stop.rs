//! Why a build with buildpacks went no further.

use bollard::errors::Error as EngineError;

use crate::error::Error;

/// Whose fault it was.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The pusher's: this is what to tell them.
    Failed(String),
    /// Ours, or the engine's.
    Ours(Error),
}

impl Stop {
    /// The pusher's fault.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Self::Ours(error.into())
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Ours(error.into())
    }
}
