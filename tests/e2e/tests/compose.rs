//! The scenarios against the installation under docker-compose.

use std::process::ExitCode;

use paastech_e2e::{Shape, run};

fn main() -> ExitCode {
    run(Shape::Compose)
}
