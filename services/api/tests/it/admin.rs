//! `paastech-admin`, on each database.

mod accounts;
mod backup;
mod doctor;
mod hostile;
mod rotate;

use std::{
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use paastech_api::Config;
use paastech_proto::{
    git::git_controller_server::GitControllerServer, pomegranate::pomegranate_server::PomegranateServer,
};
use paastech_runtime::{Peer, Shutdown, serve::GrpcServer};

use crate::{fakes::Fakes, harness::Server};

/// How the program ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self
    }

    pub(crate) fn failed(self, with: &str) -> Self {
        assert_eq!(self.code, Some(1), "{}{}", self.out, self.err);
        assert!(self.err.contains(with), "{}", self.err);
        self
    }
}

/// The program on a configuration, and neighbours that it reaches over TCP.
pub(crate) struct Admin {
    config: Config,
    git: String,
    pomegranate: String,
    shutdown: Shutdown,
    dir: tempfile::TempDir,
    runs: AtomicU32,
}

impl Admin {
    /// For a running server.
    pub(crate) async fn of(server: &Server) -> Self {
        Self::on(server.config.clone(), &server.fakes).await
    }

    /// For a configuration.
    pub(crate) async fn on(config: Config, fakes: &Fakes) -> Self {
        let shutdown = Shutdown::new();
        let loopback = ([127, 0, 0, 1], 0).into();
        let git = GrpcServer::bind(loopback, None).await.unwrap();
        let pomegranate = GrpcServer::bind(loopback, None).await.unwrap();
        let url = |server: &GrpcServer| format!("http://{}", server.addr().unwrap());
        let (git_url, pomegranate_url) = (url(&git), url(&pomegranate));
        let callers: &[Peer] = &[Peer::Api];
        shutdown.spawn("git", git.run(GitControllerServer::new(fakes.clone()), callers, shutdown.clone()));
        let server = PomegranateServer::new(fakes.clone());
        shutdown.spawn("pomegranate", pomegranate.run(server, callers, shutdown.clone()));
        let dir = tempfile::tempdir().unwrap();
        Self { config, git: git_url, pomegranate: pomegranate_url, shutdown, dir, runs: AtomicU32::new(0) }
    }

    /// Where a test may leave files.
    pub(crate) fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) async fn run(&self, words: &[&str]) -> Ended {
        self.run_with(words, "").await
    }

    /// To its end; `stdin` is what it reads.
    pub(crate) async fn run_with(&self, words: &[&str], stdin: &str) -> Ended {
        let mut command = self.command(words);
        let stdin = stdin.to_owned();
        // On a thread: the neighbours are on this test's own.
        let output = tokio::task::spawn_blocking(move || {
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), stdin.as_bytes()).ok();
            child.wait_with_output().unwrap()
        });
        let output = output.await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[expect(clippy::disallowed_methods, reason = "the program under test, by argv")]
    fn command(&self, words: &[&str]) -> Command {
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        let mut text: toml::Table =
            toml::from_str(&paastech_runtime::config::print(&self.config).unwrap()).unwrap();
        text.insert("git_controller".to_owned(), self.git.clone().into());
        text.insert("pomegranate".to_owned(), self.pomegranate.clone().into());
        text.remove("database");
        let url = self.dir.path().join(format!("database-{run}"));
        write_private(&url, self.config.database_url().expose());
        text.insert("database".to_owned(), format!("file:{}", url.display()).into());
        let file = self.dir.path().join(format!("api-{run}.toml"));
        std::fs::write(&file, toml::Table::from_iter([("api".to_owned(), text.into())]).to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_paastech-admin"));
        command.arg("--config").arg(file).args(words);
        command
    }

    /// Ends the neighbours.
    pub(crate) async fn stop(self) {
        self.shutdown.stop(std::time::Duration::from_secs(5)).await;
    }
}

pub(crate) fn write_private(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

#[tokio::test]
async fn the_configuration_may_be_named_behind_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("api.toml");
    std::fs::write(&file, format!("[api]\ndata_dir = \"{}/absent\"\n", dir.path().display())).unwrap();
    for before in [true, false] {
        #[expect(clippy::disallowed_methods, reason = "the program under test, by argv")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_paastech-admin"));
        let config = ["--config", file.to_str().unwrap()];
        match before {
            true => command.args(config).args(["sessions", "list"]),
            false => command.args(["sessions", "list"]).args(config),
        };
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("no installation in {}/absent", dir.path().display())), "{said}");
    }
}

#[tokio::test]
async fn every_commands_help_ends_with_an_example() {
    for words in [
        "",
        "create-admin",
        "reset-password",
        "sessions list",
        "sessions revoke",
        "rotate-secrets kek",
        "rotate-secrets jwt",
        "rotate-secrets database",
        "doctor",
        "backup",
        "restore",
    ] {
        #[expect(clippy::disallowed_methods, reason = "the program under test, by argv")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_paastech-admin"));
        let output = command.args(words.split_whitespace()).arg("--help").output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && help.contains("Example:\n  paastech-admin"), "{words}: {help}");
    }
}
