//! Garbage collection by a git child: also removes what an interrupted push left in quarantine.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use crate::{Error, git};

/// What an interrupted push left is kept this long: a running one is younger.
const PRUNE: &str = "--prune=1.day.ago";

/// Runs `git gc` on the repository and waits for it, at most `limit`.
pub(crate) fn collect(program: &Path, repository: &Path, limit: Duration) -> Result<(), Error> {
    let mut child = git::command(program, repository)
        .args(["gc", "--quiet", PRUNE])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let until = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return if status.success() { Ok(()) } else { Err(Error::Program(format!("gc: {status}"))) };
        }
        if Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            return Err(Error::Program("gc took too long".to_owned()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
