//! What the lifecycle's exit codes mean, and what to do about them.

use crate::build::buildpack::{phase::Exit, stop::Stop};

/// What a pusher reads when detection finds nothing.
const NOTHING_DETECTED: &str = "no buildpack knows this kind of app: add what yours starts from (requirements.txt or \
    pyproject.toml, package.json, go.mod, Cargo.toml, index.html or a Procfile), or a Dockerfile";

/// The end of the phase `name` as an error, unless it was good.
pub(crate) fn check(name: &str, exit: &Exit, memory_mib: u32) -> Result<(), Stop> {
    let text = match exit {
        Exit::Code(0) => return Ok(()),
        Exit::OutOfMemory => {
            format!(
                "the build ran out of memory: it may use {memory_mib} MiB. Build with less parallelism, or ask the operator for more"
            )
        }
        Exit::OutOfDisk { limit_mib } => {
            format!("the build wrote more than {limit_mib} MiB, which is as much as it may")
        }
        Exit::TooSlow { seconds } => format!("{name} took longer than {seconds} seconds"),
        Exit::Code(code) => match meaning(*code) {
            Some(text) => text.to_owned(),
            None => return Err(ours(name, *code)),
        },
    };
    Err(Stop::Failed(text))
}

/// What the pusher did; `None` when it was us.
fn meaning(code: i64) -> Option<&'static str> {
    Some(match code {
        20 => NOTHING_DETECTED,
        21 => {
            "no buildpack knows this kind of app, and one failed while it looked (exit code 21): see its output above"
        }
        51 => "a buildpack's build failed (exit code 51): see its output above",
        137 => "the build was killed (exit code 137)",
        143 => "the build was ended (exit code 143)",
        _ => return None,
    })
}

fn ours(name: &str, code: i64) -> Stop {
    let what = match code {
        11 => "the lifecycle does not speak this Platform API",
        12 => "a buildpack asks for a Buildpack API that the lifecycle does not speak",
        _ => "see the lines above",
    };
    Stop::Ours(crate::error::Error::Broken(format!("phase {name} ended with exit code {code}: {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(exit: Exit) -> String {
        match check("build", &exit, 512) {
            Err(Stop::Failed(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_way_to_fail_says_what_to_do() {
        assert!(check("detect", &Exit::Code(0), 512).is_ok());
        assert!(text(Exit::Code(20)).contains("requirements.txt"));
        assert!(text(Exit::Code(51)).contains("exit code 51"));
        assert!(text(Exit::OutOfMemory).contains("512 MiB"));
        assert!(text(Exit::OutOfDisk { limit_mib: 7 }).contains("7 MiB"));
        assert!(text(Exit::TooSlow { seconds: 60 }).contains("60 seconds"));
    }

    #[test]
    fn what_the_pusher_did_not_do_is_ours() {
        for code in [1, 3, 11, 12, 32, 42, 52, 62] {
            assert!(matches!(check("export", &Exit::Code(code), 512), Err(Stop::Ours(_))), "{code}");
        }
    }
}
