//! Ctrl-C and SIGTERM: the running children are told to end, so that every step ends as an ordinary error
//! and cleans up after itself; a second signal ends the process at once.

use std::{
    collections::BTreeSet,
    sync::{LazyLock, Mutex, PoisonError},
};

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a shell reports for a process ended by Ctrl-C.
pub(crate) const EXIT_CODE: u8 = 130;

static INTERRUPTED: LazyLock<CancellationToken> = LazyLock::new(CancellationToken::new);
static CHILDREN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Starts to listen for signals, for the life of the process.
pub(crate) fn listen() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if INTERRUPTED.is_cancelled() {
                std::process::exit(i32::from(EXIT_CODE));
            }
            INTERRUPTED.cancel();
            for pid in children().iter().filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?)) {
                // One that has just ended needs nothing.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
    });
    Ok(())
}

/// Whether a signal came.
pub(crate) fn happened() -> bool {
    INTERRUPTED.is_cancelled()
}

/// Resolves when a signal comes.
pub(crate) async fn wait() {
    INTERRUPTED.cancelled().await;
}

/// An error when a signal came.
pub(crate) fn check() -> Result<()> {
    if happened() {
        bail!("interrupted");
    }
    Ok(())
}

/// A child that gets the signal as long as this lives.
pub(crate) struct Registered(u32);

impl Registered {
    /// Registers a running child.
    pub(crate) fn new(pid: u32) -> Self {
        children().insert(pid);
        Self(pid)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        children().remove(&self.0);
    }
}

fn children() -> std::sync::MutexGuard<'static, BTreeSet<u32>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}
