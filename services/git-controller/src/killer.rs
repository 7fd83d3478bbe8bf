//! Ends a git child and all that it started.

use std::{future::pending, time::Duration};

use rustix::process::{Pid, Signal};
use tokio::process::Child;

/// How long git may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

/// A child's process group.
pub struct Killer(Option<Pid>);

impl Killer {
    /// That of a child which has not been waited for.
    #[must_use]
    pub fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// Asks git to end, then ends it; never returns. Only while the child has not been waited for.
    pub async fn end(&self) {
        self.signal(Signal::TERM);
        tokio::time::sleep(GRACE).await;
        self.signal(Signal::KILL);
        pending().await
    }

    fn signal(&self, signal: Signal) {
        let Some(pid) = self.0 else { return };
        // Before the applet has made its session there is no such group.
        if rustix::process::kill_process_group(pid, signal).is_err() {
            rustix::process::kill_process(pid, signal).ok();
        }
    }
}
