//! The reverse proxy that follows the labels of running containers, as Traefik would: only where our signature
//! holds, and always to the highest release of a project that is healthy.

mod accept;
mod access;
mod body;
mod config;
mod edge;
mod error;
mod follow;
mod headers;
mod host;
mod internal;
mod metrics;
mod observe;
mod page;
mod proxy;
mod pulse;
mod server;
mod synced;
mod table;
mod tunnel;

pub use config::{ApiRoute, EdgeConfig, Limits, Timeouts};
pub use edge::Edge;
pub use error::EdgeError;
pub use internal::check_health;
pub use table::{Replica, RouteTable};
