//! A filtered engine API on a Unix socket of its own: what the trusted phases of one build may ask of the engine, or an
//! installation's proxy, and nothing else. A request is never passed on as it came: it is parsed, decided, and written
//! anew.

mod answer;
mod call;
mod config;
mod engine;
mod gate;
mod load;
pub mod metrics;
mod reference;
mod server;
mod watch;

pub use config::Config;
pub use gate::{Build, Gate};
pub use watch::watch;
