//! The scenarios against one process, with Pomegranate outside it.

use std::process::ExitCode;

use paastech_e2e::{Shape, run};

fn main() -> ExitCode {
    run(Shape::PomegranateOutside)
}
