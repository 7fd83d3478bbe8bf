//! The scenarios against one process.

use std::process::ExitCode;

use paastech_e2e::{Shape, run};

fn main() -> ExitCode {
    run(Shape::Embedded)
}
