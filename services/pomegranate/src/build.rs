//! Builds: jobs that outlive the calls that start and follow them.

mod add;
mod context;
mod image;
mod job;
mod log;
mod progress;
mod registry;
mod run;

pub(crate) use job::Job;
pub(crate) use registry::{Builds, Order};
