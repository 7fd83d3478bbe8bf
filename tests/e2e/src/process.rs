//! A child process whose output goes to a file: started, killed and started again.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(20);
/// As much of a log as a failure shows.
const TAIL_LINES: usize = 60;

/// A command whose environment holds nothing but what a program needs to find others.
#[expect(clippy::disallowed_methods, reason = "these tests run real programs, by argv")]
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
        .env("LC_ALL", "C.UTF-8")
        .env("TMPDIR", home)
        .current_dir(home)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// The command lines of running processes that name something in this directory.
pub(crate) fn find(directory: &Path) -> Result<Vec<String>> {
    let directory = directory.to_string_lossy();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        // What has just ended, or is no process, has none.
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&*directory) {
            found.push(line);
        }
    }
    Ok(found)
}

/// A program of the platform.
pub(crate) struct Process {
    pub(crate) name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    home: PathBuf,
    child: Option<Child>,
}

impl Process {
    pub(crate) fn new(name: &'static str, program: PathBuf, arguments: Vec<String>, home: &Path) -> Self {
        Self { name, program, arguments, environment: Vec::new(), home: home.to_owned(), child: None }
    }

    /// The same with these variables.
    pub(crate) fn with(self, environment: Vec<(&'static str, String)>) -> Self {
        Self { environment, ..self }
    }

    fn log_path(&self) -> PathBuf {
        self.home.join(format!("{}.log", self.name))
    }

    /// Starts it, or starts it again; the log goes on.
    pub(crate) fn start(&mut self) -> Result<()> {
        let log: File = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let mut command = command(&self.program, &self.home);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child =
            command.spawn().with_context(|| format!("{} cannot be started", self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Starts it unless it runs.
    pub(crate) fn ensure(&mut self) -> Result<()> {
        if self.child.is_some() { Ok(()) } else { self.start() }
    }

    /// Fails with its log when it has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        if let Some(child) = &mut self.child
            && let Some(status) = child.try_wait()?
        {
            bail!("{} ended ({status}):\n{}", self.name, self.tail());
        }
        Ok(())
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// SIGTERM, and SIGKILL for what does not end by it, which is a failure.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) else { return Ok(()) };
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        kill_process(pid, Signal::TERM)?;
        match tokio::time::timeout(GRACE, child.wait()).await {
            Ok(status) => {
                let status = status?;
                if !status.success() {
                    bail!("{} ended badly after SIGTERM: {status}", self.name);
                }
                Ok(())
            }
            Err(_) => {
                child.kill().await?;
                bail!("{} did not end within {} s of SIGTERM", self.name, GRACE.as_secs());
            }
        }
    }

    /// The whole log.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// The log's last lines, under the program's name.
    pub(crate) fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(TAIL_LINES);
        format!("--- {} ---\n{}", self.name, lines[from..].join("\n"))
    }
}
