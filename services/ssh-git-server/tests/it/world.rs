//! One SSH server on a free port, a real git-controller beside it, a fake api behind it, real clients before it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use base64::Engine as _;
use paastech_git_controller as git_controller;
use paastech_proto::{
    control::control_client::ControlClient,
    git::{CreateRepositoryRequest, Scope, git_controller_client::GitControllerClient},
};
use paastech_runtime::{Peer, Shutdown, Transport, serve::GrpcServer, transport};
use paastech_ssh_git_server::{Config, build, config::Limits};
use paastech_types::{AccountId, ProjectId};
use tempfile::TempDir;
use tokio::process::Command;

use crate::fake::{Build, Deploy, Fake, Project};

pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) fake: Fake,
    pub(crate) port: u16,
    pub(crate) fingerprint: String,
    pub(crate) shutdown: Shutdown,
    pub(crate) repositories: GitControllerClient<Transport>,
}

/// Somebody with a key that the api knows.
pub(crate) struct Person {
    pub(crate) account: AccountId,
    pub(crate) key: PathBuf,
}

/// What a client printed, and how it ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn fails(self) -> Self {
        assert_ne!(self.code, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.err.contains(text), "`{text}` is not in:\n{}", self.err);
        self
    }

    #[track_caller]
    pub(crate) fn never_says(self, text: &str) -> Self {
        assert!(!self.err.contains(text), "`{text}` is in:\n{}", self.err);
        self
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

pub(crate) fn accepted() -> Build {
    Build { lines: vec!["compiling".to_owned()], accepted: true, message: String::new(), held: false }
}

pub(crate) fn deployed() -> Deploy {
    Deploy {
        state: "done".to_owned(),
        message: String::new(),
        url: "http://shop.user-app.localhost".to_owned(),
        held: false,
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        let fake = Fake::default();
        let transport = fake.transport();
        Self::on(fake, transport, limits, Shutdown::new()).await
    }

    /// One whose api is reached over a socket.
    pub(crate) async fn over_tcp() -> Self {
        let (fake, shutdown) = (Fake::default(), Shutdown::new());
        let server = GrpcServer::bind(([127, 0, 0, 1], 0).into(), None).await.expect("bound");
        let uri = format!("http://{}", server.addr().expect("bound"));
        shutdown.spawn("control", server.run(fake.server(), &[], shutdown.clone()));
        let control = transport::remote(&uri.parse().expect("an address"), None, Peer::Api).expect("made");
        Self::on(fake, control, Limits::default(), shutdown).await
    }

    async fn on(fake: Fake, transport: Transport, limits: Limits, shutdown: Shutdown) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = dir.path().join("repositories");
        let controller = git_controller::Config { root: root.clone(), ..Default::default() };
        let server = git_controller::build(controller, shutdown.clone()).await;
        let server = server.expect("the git-controller starts");
        let repositories = GitControllerClient::new(transport::in_process(server));
        {
            let mut state = fake.state();
            state.build = Some(accepted());
            state.deploy = Some(deployed());
        }
        let config = config(dir.path(), limits);
        let server = build(config, ControlClient::new(transport)).await.expect("the server starts");
        let port = server.addr().expect("bound").port();
        let fingerprint = server.host_key_fingerprint();
        shutdown.spawn("ssh", server.run(shutdown.clone()));
        Self { dir, fake, port, fingerprint, shutdown, repositories }
    }

    /// A key pair that nobody knows.
    pub(crate) async fn key(&self, name: &str, kind: &str) -> PathBuf {
        let path = self.dir.path().join(format!("key-{name}"));
        let file = path.to_str().expect("UTF-8");
        let made =
            run(self.dir.path(), "ssh-keygen", &["-q", "-t", kind, "-N", "", "-C", name, "-f", file]).await;
        made.ok();
        path
    }

    pub(crate) async fn person(&self, name: &str) -> Person {
        self.person_with(name, "ed25519").await
    }

    pub(crate) async fn person_with(&self, name: &str, kind: &str) -> Person {
        let key = self.key(name, kind).await;
        let account = AccountId::new();
        let public = fs::read_to_string(key.with_extension("pub")).expect("a public key");
        let blob = public.split(' ').nth(1).expect("its blob");
        let blob = base64::engine::general_purpose::STANDARD.decode(blob).expect("base64");
        self.fake.state().keys.insert(blob, (account, name.to_owned()));
        Person { account, key }
    }

    pub(crate) async fn project(&self, owner: &Person, slug: &str) -> Project {
        let project = Project {
            id: ProjectId::new(),
            slug: slug.to_owned(),
            owner: owner.account,
            max_push_bytes: 64 << 20,
            max_source_bytes: 64 << 20,
        };
        let scope = Some(Scope { project_id: project.id.to_string(), fence: 1 });
        let request = CreateRepositoryRequest { scope, deploy_branch: "main".to_owned() };
        self.repositories.clone().create_repository(request).await.expect("created");
        self.fake.state().projects.push(project.clone());
        project
    }

    pub(crate) fn repository(&self, project: &Project) -> PathBuf {
        self.dir.path().join("repositories").join(format!("{}.git", project.id))
    }

    pub(crate) fn ssh_options(&self, key: &Path) -> Vec<String> {
        let known = self.dir.path().join("known_hosts");
        let mut options = vec!["-F".to_owned(), "/dev/null".to_owned()];
        options.extend(["-i".to_owned(), key.display().to_string(), "-p".to_owned(), self.port.to_string()]);
        for option in [
            format!("UserKnownHostsFile={}", known.display()),
            "StrictHostKeyChecking=accept-new".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "BatchMode=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "LogLevel=ERROR".to_owned(),
        ] {
            options.extend(["-o".to_owned(), option]);
        }
        options
    }

    /// Runs `ssh` with extra options, then the host, then a command.
    pub(crate) async fn ssh(&self, key: &Path, extra: &[&str], command: &[&str]) -> Ran {
        // Of two equal options ssh takes the first.
        let mut arguments: Vec<String> = extra.iter().map(|&text| text.to_owned()).collect();
        arguments.extend(self.ssh_options(key));
        arguments.push("git@127.0.0.1".to_owned());
        arguments.extend(command.iter().map(|&text| text.to_owned()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(self.dir.path(), "ssh", &arguments).await
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("ssh://git@127.0.0.1:{}/{name}", self.port)
    }

    /// A command that is git, run by this person.
    pub(crate) fn git_command(&self, key: &Path, at: &Path, arguments: &[&str]) -> Command {
        let mut command = program("git");
        let ssh = format!("ssh {}", self.ssh_options(key).join(" "));
        command
            .current_dir(at)
            .args(["-c", "protocol.version=2", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .env("GIT_SSH_COMMAND", ssh)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("HOME", self.dir.path())
            .envs([("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@example.org")])
            .envs([("GIT_COMMITTER_NAME", "Ada"), ("GIT_COMMITTER_EMAIL", "ada@example.org")])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn git(&self, person: &Person, at: &Path, arguments: &[&str]) -> Ran {
        finish(self.git_command(&person.key, at, arguments)).await
    }

    /// A working copy with one commit on main, and the project as its remote `paas`.
    pub(crate) async fn working_copy(&self, person: &Person, project: &Project) -> PathBuf {
        let at = self.dir.path().join(format!("work-{}-{}", project.slug, uuid::Uuid::new_v4().simple()));
        fs::create_dir(&at).expect("made");
        self.git(person, &at, &["init", "-q", "-b", "main"]).await.ok();
        fs::write(at.join("Dockerfile"), "FROM scratch\n").expect("written");
        self.commit(person, &at, "first").await;
        let url = self.url(&project.slug);
        self.git(person, &at, &["remote", "add", "paas", &url]).await.ok();
        at
    }

    pub(crate) async fn commit(&self, person: &Person, at: &Path, message: &str) -> String {
        self.git(person, at, &["add", "-A"]).await.ok();
        self.git(person, at, &["commit", "-q", "--allow-empty", "-m", message]).await.ok();
        self.git(person, at, &["rev-parse", "HEAD"]).await.ok().out.trim().to_owned()
    }

    /// Where a ref of the project's repository is; empty when absent.
    pub(crate) fn tip(&self, project: &Project, name: &str) -> String {
        let repository = git2::Repository::open_bare(self.repository(project)).expect("a repository");
        repository.refname_to_id(name).map(|oid| oid.to_string()).unwrap_or_default()
    }
}

pub(crate) fn config(dir: &Path, limits: Limits) -> Config {
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        repositories: dir.join("repositories"),
        state_dir: dir.join("state"),
        applet: Some(PathBuf::from(env!("CARGO_BIN_EXE_paastech-ssh-git-server"))),
        // Enough for every test, and soon reached by a bomb.
        archive: git_controller::archive::Limits { max_entries: 10_000, ..Default::default() },
        limits,
        ..Config::default()
    }
}

#[expect(clippy::disallowed_methods, reason = "the clients under test are programs")]
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.kill_on_drop(true);
    command
}

pub(crate) async fn run(at: &Path, name: &str, arguments: &[&str]) -> Ran {
    let mut command = program(name);
    command.current_dir(at).args(arguments).stdin(Stdio::null());
    finish(command).await
}

pub(crate) async fn finish(mut command: Command) -> Ran {
    let output = tokio::time::timeout(Duration::from_secs(60), command.output());
    output.await.expect("the client ends within a minute").expect("the client starts").into()
}

/// A client of its own process group, which a test can end as Ctrl-C would.
pub(crate) struct Started(pub(crate) tokio::process::Child);

impl Started {
    pub(crate) fn start(mut command: Command) -> Self {
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().expect("the client starts"))
    }

    /// Ends the client and all that it started, without a word to the server.
    pub(crate) async fn interrupt(mut self) {
        let pid = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        let pid = pid.expect("the client still runs");
        rustix::process::kill_process_group(pid, rustix::process::Signal::KILL).expect("killed");
        self.0.wait().await.expect("ended");
    }

    /// As [`Self::finish`], with its standard input open all the while.
    pub(crate) async fn finish_unfed(mut self) -> Ran {
        let _held = self.0.stdin.take();
        self.finish().await
    }

    pub(crate) async fn finish(self) -> Ran {
        let output = tokio::time::timeout(Duration::from_secs(60), self.0.wait_with_output());
        output.await.expect("the client ends within a minute").expect("it can be waited for").into()
    }
}

/// The processes whose command line names this path: the server's git children on a repository.
pub(crate) fn processes_on(path: &Path) -> Vec<PathBuf> {
    let wanted = path.to_str().expect("UTF-8").as_bytes();
    let entries = fs::read_dir("/proc").expect("proc").filter_map(Result::ok);
    entries
        .map(|entry| entry.path())
        .filter(|dir| fs::read(dir.join("cmdline")).is_ok_and(|line| contains(&line, wanted)))
        .collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Polls until `holds`, at most 20 seconds.
#[track_caller]
pub(crate) fn eventually(what: &'static str, holds: impl Fn() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let until = tokio::time::Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(tokio::time::Instant::now() < until, "not within 20 s: {what} ({caller})");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
