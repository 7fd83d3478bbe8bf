//! What every process of ours does the same way: configuration, log, clock, calls between services, start and stop.

pub mod chunks;
pub mod clock;
pub mod config;
pub mod metrics;
pub mod secrets;
pub mod serve;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod trace;
pub mod transport;

pub use chunks::Chunks;
pub use clock::Clock;
pub use config::Secret;
pub use metrics::MetricsConfig;
pub use secrets::SecretFiles;
pub use shutdown::Shutdown;
pub use tls::{Peer, Tls, TlsConfig, is_due};
pub use transport::{Neighbour, Transport};
