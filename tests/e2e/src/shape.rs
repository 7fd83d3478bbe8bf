//! How the platform is cut into processes.

use std::fmt;

/// A partition of the services into processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `paastechd`, SQLite.
    Embedded,
    /// A process for each service, PostgreSQL.
    Services,
    /// `paastechd`, and Pomegranate outside it.
    PomegranateOutside,
    /// A container for each service, as `cargo xtask install` has them.
    Compose,
    /// The same, behind Traefik.
    Traefik,
}

impl Shape {
    /// Whether docker-compose runs it.
    pub(crate) fn is_installed(self) -> bool {
        matches!(self, Self::Compose | Self::Traefik)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "embedded",
            Self::Services => "services",
            Self::PomegranateOutside => "outside",
            Self::Compose => "compose",
            Self::Traefik => "traefik",
        })
    }
}
