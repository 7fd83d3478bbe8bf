//! Why the SSH server cannot start.

use std::{io, path::PathBuf};

/// What went wrong at the start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory of ours cannot be made or read.
    #[error("{path}: {source}")]
    State {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The address is taken or not ours.
    #[error("cannot listen for SSH on {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The host key can be read by others.
    #[error("{0} can be read by others: make its mode 0600")]
    OpenKey(PathBuf),
    /// The host key is damaged.
    #[error("{path}: no SSH private key: {why}")]
    BadKey {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another server works in the state directory.
    #[error("{0} is in use by another SSH server")]
    InUse(PathBuf),
    /// A Unix socket's path has a short limit.
    #[error("{0} is too long a path for a socket: choose a shorter state_dir")]
    LongSocket(PathBuf),
}

impl Error {
    pub(crate) fn state(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::State { path, source }
    }
}
