//! The gate in front of the real engine, and in front of none.

mod client;
mod engine;
mod refusals;
mod watch;
