//! Builds: jobs that outlive the calls that start and follow them.

mod add;
pub(crate) mod buildpack;
mod context;
mod dockerfile;
mod end;
mod image;
mod job;
mod log;
mod manifest;
mod plan;
mod progress;
mod registry;
mod run;
mod turns;

pub(crate) use job::Job;
pub(crate) use log::Log;
pub(crate) use manifest::build_variables;
pub use manifest::{Manifest, manifest_schema};
pub(crate) use registry::{Builds, Order};
