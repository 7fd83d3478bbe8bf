//! The real binary against a small real HTTP server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod commands;
mod exit_codes;
mod follow;
mod help;
mod host;
mod keys;
mod projects;
mod session;
mod socket;
mod variables;
