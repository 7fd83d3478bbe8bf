//! The static binary that runs inside every app's container and answers one question: does the app answer?
//!
//! `await` blocks until it does, and says why not when it does not. `held` is the container's health check: it waits
//! for the release's gate, then for the app, then stays and keeps checking. Only the standard library, no set-up: it
//! must run in any image, `scratch` included.

mod arguments;
mod check;
mod held;
mod listeners;
mod wait;

use std::process::ExitCode;

use arguments::Command;

fn main() -> ExitCode {
    match arguments::parse(std::env::args().skip(1)) {
        Ok(Command::Await { target, timeout }) => match wait::until_ready(&target, timeout) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => {
                println!("{reason}");
                ExitCode::FAILURE
            }
        },
        Ok(Command::Held { target, gate }) => held::run(&target, &gate),
        Err(usage) => {
            eprintln!("{usage}");
            ExitCode::from(2)
        }
    }
}
