//! Runs one buildpack in a temporary directory as the lifecycle would, for the buildpacks' own tests.

mod app;
mod launch;
mod outcome;

pub use app::App;
pub use launch::Running;
pub use outcome::Outcome;
