//! Why a build ends without an image, in words for the person who pushed.

use std::{io, path::Path};

use thiserror::Error;

/// What made a buildpack give up. Each text says what failed and what to do.
#[derive(Debug, Error)]
pub enum Failure {
    /// The app asks for something that cannot be had or contradicts itself.
    #[error("{0}")]
    Refused(String),
    /// A tool ran and failed; its own output stands above.
    #[error("{tool} failed ({ending}). {advice}")]
    Tool {
        /// The tool's name as a person would call it, such as `pip install`.
        tool: String,
        /// How it ended: `exit status: 1`, `signal: 9 (SIGKILL)`.
        ending: String,
        /// What to do about it.
        advice: String,
    },
    /// The file system or a pipe failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried, such as `read /workspace/go.mod`.
        action: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl Failure {
    /// Names what was tried on a path.
    pub fn io(verb: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let action = format!("{verb} {}", path.display());
        move |source| Self::Io { action, source }
    }
}

impl From<Failure> for libcnb::Error<Failure> {
    fn from(failure: Failure) -> Self {
        Self::BuildpackError(failure)
    }
}

/// Says why the build ends. The lifecycle turns the failure into its exit code 51.
pub fn report(error: &libcnb::Error<Failure>) {
    match error {
        libcnb::Error::BuildpackError(failure) => eprintln!("Error: {failure}"),
        other => eprintln!("Error: {other}"),
    }
}
