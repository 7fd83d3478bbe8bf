//! Why the edge does not start.

use std::{io, net::SocketAddr};

use paastech_types::Kind;

/// Why the edge does not start.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// An address is taken, or not this machine's.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address from the configuration.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The internal address would be open to everybody.
    #[error("internal_listen must name one address of this machine, not {0}")]
    InternalEverywhere(SocketAddr),
    /// Nothing says whose containers to route.
    #[error("instance is not set: nothing would be routed")]
    NoInstance,
    /// No name of a host.
    #[error("api.host: {0}: not a host's name in lower case")]
    ApiHost(String),
    /// Too small to hold one request.
    #[error("limits.header_bytes must be at least 8192")]
    HeaderBytes,
}

impl EdgeError {
    /// What it means to whoever started it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Listen { .. } => Kind::Unavailable,
            Self::InternalEverywhere(_) | Self::NoInstance | Self::ApiHost(_) | Self::HeaderBytes => {
                Kind::Invalid
            }
        }
    }
}
