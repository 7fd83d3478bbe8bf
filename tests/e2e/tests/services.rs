//! The scenarios against separate processes and PostgreSQL.

use std::process::ExitCode;

use paastech_e2e::{Shape, run};

fn main() -> ExitCode {
    run(Shape::Services)
}
