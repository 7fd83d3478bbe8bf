//! The api as its clients see it: the real router and database behind a real socket, fake neighbours.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod access;
mod accounts;
mod admin;
mod bodies;
mod connections;
mod conventions;
mod database;
mod database_tls;
mod deployments;
mod fakes;
mod harness;
mod idempotency;
mod limits;
mod log;
mod metrics;
mod openapi;
mod projects;
mod pushes;
mod schema;
mod sessions;
mod setup;
mod ssh_keys;
mod variables;
