//! What can go wrong with a repository, and what it means to the caller.

use std::io;

use paastech_types::{Failure, Kind, ProjectId};
use tonic::Status;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the request is malformed.
    #[error("{field} {why}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What it must be.
        why: String,
    },
    /// There is no repository of this project.
    #[error("project {0} has no repository")]
    NoRepository(ProjectId),
    /// The repository lacks the revision or commit.
    #[error("no such revision")]
    NoRevision,
    /// Somebody newer has taken over.
    #[error("fence {given} is lower than {seen}")]
    Fenced {
        /// The fence of the call.
        given: i64,
        /// The highest seen.
        seen: i64,
    },
    /// Somebody has changed the repository behind our back.
    #[error("the repository is not one of ours: it has {0}")]
    Foreign(&'static str),
    /// The reply would be too large.
    #[error("more than {0} refs")]
    TooManyRefs(usize),
    /// The tree is refused.
    #[error(transparent)]
    Archive(#[from] crate::archive::Error),
    /// libgit2 failed.
    #[error("git: {}", .0.message())]
    Git(#[from] git2::Error),
    /// The git program failed.
    #[error("git {0}")]
    Program(String),
    /// The process is about to end.
    #[error("the git-controller is stopping")]
    Stopping,
    /// The file system failed.
    #[error("repositories directory: {0}")]
    Io(#[from] io::Error),
}

impl Error {
    /// What it means to the caller.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Invalid { .. } => Kind::Invalid,
            Self::NoRepository(_) | Self::NoRevision => Kind::NotFound,
            Self::Fenced { .. } => Kind::Conflict,
            Self::TooManyRefs(_) => Kind::Exhausted,
            Self::Stopping => Kind::Unavailable,
            Self::Archive(error) => error.kind(),
            Self::Foreign(_) | Self::Git(_) | Self::Program(_) => Kind::Internal,
            Self::Io(error) if error.kind() == io::ErrorKind::StorageFull => Kind::Exhausted,
            Self::Io(_) => Kind::Internal,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let kind = error.kind();
        if kind == Kind::Internal {
            tracing::error!(error = %error, "a repository call failed");
            return Failure::new(kind, "the repository cannot be used").into();
        }
        Failure::new(kind, error.to_string()).into()
    }
}
