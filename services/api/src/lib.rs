//! The api: HTTP for clients, the database, the operations, and the internal `control.v1` server.

pub mod admin;
mod app;
mod auth;
pub mod config;
mod configuration;
mod control;
mod database_url;
mod engine;
pub mod error;
mod http;
mod metrics;
mod repositories;
pub mod secrets;
mod service;
mod setup;
mod store;

pub use config::Config;
pub use control::BuildsConfig;
pub use engine::{EngineConfig, dockerfile::DockerfilePolicy};
pub use error::Error;
pub use http::openapi;
pub use service::{Neighbours, Service};
