//! Start and stop: every task belongs here; the first signal drains, the second or a timeout cuts;
//! a task that dies stops the process with exit code 1.

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// From the cut to the end of the process.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// The life of a process or, in a test, of one composition inside it. Clones share it.
#[derive(Clone, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    cut: CancellationToken,
    tasks: TaskTracker,
    failed: Arc<AtomicBool>,
}

impl Shutdown {
    /// One that nothing stops but its own methods.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a task that lives as long as the process. If it fails or panics, the process drains and exits with 1.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let this = self.clone();
        self.tasks.spawn(async move {
            match tokio::spawn(task).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => tracing::error!(task = name, error = format!("{error:#}"), "a task failed"),
                Err(panic) => tracing::error!(task = name, error = %panic, "a task panicked"),
            }
            this.failed.store(true, Ordering::SeqCst);
            this.start_drain();
        });
    }

    /// Runs a unit of work that a drain waits for, and whose end matters to nobody else.
    pub fn track<F>(&self, work: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(work)
    }

    /// Begins to stop.
    pub fn start_drain(&self) {
        self.drain.cancel();
    }

    /// Whether stopping has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Resolves when stopping begins.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + 'static {
        self.drain.clone().cancelled_owned()
    }

    /// Resolves when what is left must be dropped.
    pub fn cutting(&self) -> impl Future<Output = ()> + Send + 'static {
        self.cut.clone().cancelled_owned()
    }

    /// A token that is cancelled when stopping begins.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.drain.clone()
    }

    /// Stops now and waits until every task has ended, at most `grace`.
    pub async fn stop(&self, grace: Duration) {
        self.start_drain();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            self.cut().await;
        }
    }

    /// Tells what is left that it is cut, and gives it a moment to clear up.
    async fn cut(&self) {
        self.cut.cancel();
        let waited = tokio::time::timeout(LAST_MOMENT, self.tasks.wait()).await;
        tracing::warn!(clean = waited.is_ok(), "what was left has been cut");
    }

    /// Lives until a signal or a failed task, then drains. The exit code is 1 after a failed task.
    ///
    /// # Errors
    /// The signal handlers cannot be installed.
    pub async fn run_until_signal(self, grace: Duration) -> std::io::Result<ExitCode> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            () = either(&mut interrupt, &mut terminate) => tracing::info!("stopping: a second signal cuts"),
            () = self.draining() => {}
        }
        tokio::select! {
            () = self.stop(grace) => {}
            () = either(&mut interrupt, &mut terminate) => {
                self.cut().await;
                return Ok(ExitCode::FAILURE);
            }
        }
        Ok(if self.failed.load(Ordering::SeqCst) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

async fn either(a: &mut Signal, b: &mut Signal) {
    tokio::select! {
        _ = a.recv() => {}
        _ = b.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_task_begins_the_drain() {
        let shutdown = Shutdown::new();
        shutdown.spawn("doomed", async { anyhow::bail!("no") });
        tokio::time::timeout(Duration::from_secs(5), shutdown.draining()).await.expect("drains");
    }

    #[tokio::test]
    async fn a_drain_waits_for_tracked_work() {
        let shutdown = Shutdown::new();
        let (send, receive) = tokio::sync::oneshot::channel::<()>();
        let work = shutdown.track(async move { receive.await.is_ok() });
        shutdown.start_drain();
        send.send(()).expect("the work still runs");
        shutdown.stop(Duration::from_secs(5)).await;
        assert!(work.await.expect("ended"));
    }
}
