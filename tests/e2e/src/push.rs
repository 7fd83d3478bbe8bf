//! A running `git push`, read line by line as its user would, and how it ended.

use std::{
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

/// No push here takes longer.
const PATIENCE: Duration = Duration::from_secs(150);

/// How a program ended and what it wrote.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// None when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Both streams.
    pub(crate) text: String,
}

impl Ended {
    /// It ended with 0; what it wrote.
    pub(crate) fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.text);
        self.text
    }

    /// It ended with something else; what it wrote.
    pub(crate) fn failed(self) -> String {
        assert_ne!(self.code, Some(0), "{}", self.text);
        self.text
    }
}

/// A `git push` under way.
pub(crate) struct Push {
    child: Child,
    text: Arc<Mutex<String>>,
    readers: [JoinHandle<()>; 2],
}

impl Push {
    pub(crate) fn start(mut git: Command) -> Self {
        let mut child = git
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let text = Arc::<Mutex<String>>::default();
        let out = child.stdout.take().expect("stdout is piped");
        let err = child.stderr.take().expect("stderr is piped");
        let readers = [tokio::spawn(read(out, text.clone())), tokio::spawn(read(err, text.clone()))];
        Self { child, text, readers }
    }

    /// What it has written so far.
    pub(crate) fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has written this.
    pub(crate) async fn says(&self, part: &str) {
        let deadline = Instant::now() + Duration::from_secs(45);
        while !self.text().contains(part) {
            assert!(Instant::now() < deadline, "never said {part:?}:\n{}", self.text());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ctrl-C: the terminal tells git and its ssh.
    pub(crate) async fn interrupt(self) -> Ended {
        let group = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("it still runs");
        kill_process_group(group, Signal::INT).expect("children of ours can be told");
        self.end().await
    }

    /// Waits for its end.
    pub(crate) async fn end(mut self) -> Ended {
        let Ok(status) = tokio::time::timeout(PATIENCE, self.child.wait()).await else {
            panic!("no end after {} s:\n{}", PATIENCE.as_secs(), self.text());
        };
        for reader in &mut self.readers {
            // A grandchild that holds the pipe (ssh, after git was killed) may outlive it.
            drop(tokio::time::timeout(Duration::from_secs(2), reader).await);
        }
        Ended { code: status.expect("a child has a status").code(), text: self.text() }
    }
}

async fn read(stream: impl AsyncRead + Unpin, text: Arc<Mutex<String>>) {
    let mut lines = BufReader::new(stream);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        text.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&line));
        line.clear();
    }
}

/// Runs a program to its end.
pub(crate) async fn capture(command: Command) -> Ended {
    Push::start(command).end().await
}

/// Runs a program that reads this to its end.
pub(crate) async fn capture_with(mut command: Command, stdin: &str) -> Ended {
    let mut running = Push::start({
        command.stdin(Stdio::piped());
        command
    });
    let mut pipe = running.child.stdin.take().expect("stdin is piped");
    // It may well end without reading.
    drop(pipe.write_all(stdin.as_bytes()).await);
    drop(pipe);
    running.end().await
}
