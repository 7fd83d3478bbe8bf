//! Garbage collection by a git child: also removes what an interrupted push left in quarantine.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use paastech_runtime::Shutdown;

use crate::{
    Error,
    cage::{self, Cage},
    git,
    killer::Killer,
};

/// What an interrupted push left is kept this long: a running one is younger.
const PRUNE: &str = "--prune=1.day.ago";

/// How repositories are maintained.
pub(crate) struct Maintenance {
    /// The program that holds the applets.
    pub(crate) applet: PathBuf,
    pub(crate) git: PathBuf,
    /// How long one run may take.
    pub(crate) limit: Duration,
    pub(crate) shutdown: Shutdown,
}

impl Maintenance {
    /// Runs `git gc` on the repository and waits for it: until its time is up, or the drain.
    pub(crate) async fn collect(&self, repository: &Path) -> Result<(), Error> {
        let cage = Cage {
            write: vec![repository.to_owned()],
            read: vec![self.applet.clone(), self.git.clone()],
            // All that the repository holds becomes one pack.
            max_file_bytes: u64::MAX,
        };
        let mut child = cage::command(&self.applet, &cage, &self.git)?
            .envs(git::ENVIRONMENT)
            .args(git::configuration(repository))
            .arg("--git-dir")
            .arg(repository)
            .args(["gc", "--quiet", PRUNE])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let killer = Killer::of(&child);
        let why = tokio::select! {
            ended = child.wait() => {
                let status = ended?;
                return if status.success() { Ok(()) } else { Err(Error::Program(format!("gc: {status}"))) };
            }
            () = tokio::time::sleep(self.limit) => Error::Program("gc took too long".to_owned()),
            () = self.shutdown.draining() => Error::Stopping,
        };
        tokio::select! {
            _ = child.wait() => {}
            () = killer.end() => {}
        }
        Err(why)
    }
}
