//! The daemon's process: started as its own user in a session of its own, found again by its process id, stopped
//! by a signal it drains on.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::{
    process::Child,
    time::{Instant, sleep},
};

use crate::{http::Server, interrupt, layout::Layout, process, progress::Step};

const START_PATIENCE: Duration = Duration::from_secs(60);
/// Longer than the daemon's own grace.
const STOP_PATIENCE: Duration = Duration::from_secs(60);
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const POLL: Duration = Duration::from_millis(100);

/// A running daemon.
pub(crate) struct Daemon {
    child: Child,
    pid: Pid,
    log: std::path::PathBuf,
}

impl Daemon {
    /// Starts it, under the program and words of `identity` when there are any, and waits until it is ready.
    pub(crate) async fn start(layout: &Layout, identity: Vec<String>, api: SocketAddr) -> Result<Self> {
        let step = Step::new("starting paastechd");
        let log = File::create(layout.log())?;
        let mut words = vec!["setsid".to_owned()];
        words.extend(identity);
        let mut command = process::argv(words);
        command.arg(layout.daemon()).arg("--config").arg(layout.config());
        // Its own environment: our home, say, is not its to read.
        command.env_clear().env("PATH", SYSTEM_PATH).env("HOME", &layout.data).env("NO_COLOR", "1");
        command.kill_on_drop(false).current_dir("/").stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("cannot start paastechd")?;
        // setsid and setpriv become the daemon: the id stays.
        let pid =
            child.id().and_then(|id| Pid::from_raw(id.cast_signed())).context("paastechd ended at once")?;
        fs::write(layout.pid_file(), pid.to_string())?;
        let mut daemon = Self { child, pid, log: layout.log() };
        if let Err(error) = daemon.ready(api).await {
            daemon.stop().await?;
            return Err(error);
        }
        step.done(&format!("process {pid}"));
        Ok(daemon)
    }

    async fn ready(&mut self, api: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + START_PATIENCE;
        while Instant::now() < deadline {
            interrupt::check()?;
            if self.child.try_wait()?.is_some() {
                return self.ended().await;
            }
            if Server::Tcp(api).get("/readyz").await.is_ok_and(|answer| answer.status.is_success()) {
                return Ok(());
            }
            sleep(POLL).await;
        }
        bail!("paastechd is not ready after {} s:\n{}", START_PATIENCE.as_secs(), last_lines(&self.log))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Resolves, with an error, when the daemon ends by itself.
    pub(crate) async fn ended(&mut self) -> Result<()> {
        let status = self.child.wait().await?;
        bail!("paastechd ended ({status}):\n{}", last_lines(&self.log))
    }

    /// Stops it; apps keep running.
    pub(crate) async fn stop(mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let step = Step::new("stopping paastechd");
        kill_process(self.pid, Signal::TERM)?;
        match tokio::time::timeout(STOP_PATIENCE, self.child.wait()).await {
            Ok(status) => step.done(&status?.to_string()),
            Err(_) => {
                self.child.kill().await?;
                step.done("it did not end by itself and was killed");
            }
        }
        Ok(())
    }

    /// Stops the daemon that an earlier run left, if it still runs. Returns whether it did.
    pub(crate) async fn stop_running(layout: &Layout) -> Result<bool> {
        let Some(pid) = running(layout) else { return Ok(false) };
        let step = Step::new(format!("stopping the paastechd of an earlier run (process {pid})"));
        kill_process(pid, Signal::TERM)?;
        let deadline = Instant::now() + STOP_PATIENCE;
        while running(layout).is_some() {
            if Instant::now() > deadline {
                bail!("process {pid} does not end: see {}", layout.log().display());
            }
            sleep(POLL).await;
        }
        step.done("");
        Ok(true)
    }
}

/// The process of the file, if it is still the daemon: ids are used again.
fn running(layout: &Layout) -> Option<Pid> {
    let pid = Pid::from_raw(fs::read_to_string(layout.pid_file()).ok()?.trim().parse().ok()?)?;
    test_kill_process(pid).ok()?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let program = command.split(|byte| *byte == 0).next()?;
    (program == layout.daemon().as_os_str().as_encoded_bytes()).then_some(pid)
}

fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    format!("{}\nall of it: {}", process::tail(&text, 10), log.display())
}
