//! One channel, decided: who asks for what, whether they get it, and with which status it ends.

mod transfer;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use paastech_git_controller::repositories;
use paastech_proto::control::{Access, ClosePushRequest};
use paastech_runtime::{metrics::Held, trace::Trace};
use tracing::Instrument as _;

use crate::{
    child::{self, HookAccess, Plan},
    command::{self, Command, Refusal, Service},
    connection::{Connection, OpenChannel},
    metrics::METRICS,
    pktline,
    push::{Project, Push},
    server::{Account, NO_PROJECT, Shared},
    ssh::channel::{Event, Events, Writer},
};

/// How long a channel may stay without asking for anything.
const IDLE: Duration = Duration::from_secs(60);
/// The longest `GIT_PROTOCOL`.
const MAX_PROTOCOL: usize = 64;
/// How long a refusal waits for the client's window.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// The status of what lies outside the grammar, whatever it is.
const OUTSIDE: u32 = 128;
/// How often, and at which distance, the api is told of a push's end.
const CLOSE_ATTEMPTS: u32 = 20;

/// Whose channel it is.
pub(crate) struct Client {
    pub(crate) account: Account,
    pub(crate) connection: Arc<Connection>,
    pub(crate) open: OpenChannel,
}

/// Whether a client may set this variable: `GIT_PROTOCOL`, and no other name goes anywhere.
pub(crate) fn takes_variable(name: &str, value: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"=:.".contains(&b);
    name == "GIT_PROTOCOL" && value.len() <= MAX_PROTOCOL && value.bytes().all(plain)
}

/// Serves a channel to its end.
pub(crate) async fn run(shared: Arc<Shared>, client: Client, events: Events, writer: Writer) {
    let trace = Trace::random();
    let span = trace.begin(tracing::info_span!("ssh", account.id = %client.account.id, trace.id = %trace));
    let Client { account, connection, open } = client;
    let _open = Held::by(&METRICS.sessions);
    let session = Session { shared, account, connection, events, writer, git_protocol: None };
    trace.scope(session.serve().instrument(span)).await;
    drop(open);
}

struct Session {
    shared: Arc<Shared>,
    account: Account,
    connection: Arc<Connection>,
    events: Events,
    writer: Writer,
    git_protocol: Option<String>,
}

impl Session {
    async fn serve(mut self) {
        let Some(status) = self.status().await else { return };
        let Self { events, writer, .. } = self;
        // What the client still sends finds nobody then: unread, it would hold up the whole connection.
        drop(events);
        drop(tokio::time::timeout(LAST_WORDS, writer.exit(status)).await);
    }

    /// Does what is asked for; `None` if the client leaves first.
    async fn status(&mut self) -> Option<u32> {
        loop {
            let Ok(event) = tokio::time::timeout(IDLE, self.events.next()).await else { return Some(1) };
            return match event {
                Event::Env { name, value } => {
                    if takes_variable(&name, &value) {
                        self.git_protocol = Some(value);
                    }
                    continue;
                }
                Event::Data(_) | Event::Eof => continue,
                Event::Gone => None,
                Event::Shell => Some(self.greet().await),
                Event::Exec(exec) => Some(self.execute(&exec).await),
            };
        }
    }

    async fn greet(&mut self) -> u32 {
        let name: String = self.account.name.chars().filter(|c| !c.is_control()).collect();
        let text = format!("Hello {name}: your key works. There is no shell here; use git push.\r\n");
        self.say(&text).await;
        1
    }

    async fn execute(&mut self, exec: &[u8]) -> u32 {
        match command::parse(exec) {
            Ok(command) => self.git(&command).await,
            Err(refusal) => {
                self.refuse(refusal).await;
                OUTSIDE
            }
        }
    }

    async fn refuse(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::NotGit => self.say("PaaSTech: only git push, fetch and clone are served here.\n").await,
            Refusal::Lfs => {
                self.say("PaaSTech: Git LFS is not supported; commit the files themselves.\n").await;
            }
            Refusal::Archive => drop(self.error("git archive is not served; clone instead").await),
            Refusal::NoProject => drop(self.error(NO_PROJECT).await),
        }
    }

    async fn git(&mut self, command: &Command) -> u32 {
        let access = match command.service {
            Service::UploadPack => Access::Read,
            Service::ReceivePack => Access::Write,
        };
        let project = match self.shared.authorize(&self.account, &command.project, access).await {
            Ok(project) => project,
            Err(why) => return self.error(&why).await,
        };
        let (Some(_one), Some(_all)) = (self.connection.child(), self.shared.permits.child(self.account.id))
        else {
            return self.error("too many pushes and fetches at once; try again in a moment").await;
        };
        if self.shared.shutdown.is_draining() {
            return self.error("the platform is restarting; try again in a moment").await;
        }
        let begun = Instant::now();
        let status = match command.service {
            Service::UploadPack => self.run_child(command.service, &project, None, None).await,
            Service::ReceivePack => self.push(&project).await,
        };
        let (verb, duration_ms) = (command.service.verb(), begun.elapsed().as_millis());
        tracing::info!(project.id = %project.id, git = verb, status, duration_ms, "served git");
        status
    }

    async fn push(&mut self, project: &Project) -> u32 {
        let project = match self.room(project).await {
            Ok(max_push_bytes) => &Project { max_push_bytes, ..project.clone() },
            Err(why) => {
                METRICS.pushes.with(["refused"]).inc();
                return self.error(&why).await;
            }
        };
        let push = Push::new(self.account.clone(), project.clone());
        let registration = self.shared.pushes.register(&push);
        let hooks = Some(HookAccess { token: &registration.token });
        let status = self.run_child(Service::ReceivePack, project, Some(&push), hooks).await;
        METRICS.pushes.with([push.outcome(status)]).inc();
        // What a lost hook left open is over as well.
        push.interrupt();
        drop(registration);
        if push.is_open() {
            let closed = close(self.shared.clone(), push.clone()).in_current_span();
            self.shared.shutdown.track(push.trace.scope(closed));
        }
        if status == 0 && push.deploy_failed() { 1 } else { status }
    }

    async fn run_child(
        &mut self,
        service: Service,
        project: &Project,
        push: Option<&Push>,
        hooks: Option<HookAccess<'_>>,
    ) -> u32 {
        let (shared, id) = (self.shared.clone(), project.id);
        let looked_up = tokio::task::spawn_blocking(move || shared.repositories.checked_path(id)).await;
        let repository = match looked_up {
            Ok(Ok(path)) => path,
            failed => {
                tracing::error!(project.id = %id, outcome = ?failed, "no repository for a project");
                return self.error("the repository is not ready; try again in a moment").await;
            }
        };
        let plan = Plan {
            service,
            git: &self.shared.config.git,
            repository: &repository,
            project,
            git_protocol: self.git_protocol.as_deref(),
            hooks,
        };
        let child = match child::spawn(&self.shared.paths, &plan) {
            Ok(child) => child,
            Err(error) => {
                tracing::error!(error = %error, "git cannot be started");
                return self.error("git cannot be started; try again in a moment").await;
            }
        };
        transfer::run(&self.shared, child, &mut self.events, &self.writer, push).await
    }

    /// How large a pack may be: what one push may be, and no more than the project has left.
    async fn room(&self, project: &Project) -> Result<u64, String> {
        let limits = &self.shared.config.limits;
        let needed = limits.min_free_bytes.max(project.max_push_bytes);
        let disk = rustix::fs::statvfs(&self.shared.config.repositories);
        if disk.is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < needed) {
            return Err(
                "the platform's disk is full; nothing can be pushed until its operator acts".to_owned()
            );
        }
        let path = self.shared.repositories.path(project.id);
        let taken = tokio::task::spawn_blocking(move || repositories::size_of(&path)).await;
        // What cannot be read is refused by who opens it.
        let taken = taken.ok().and_then(Result::ok).unwrap_or(0);
        match limits.max_repository_bytes.saturating_sub(taken) {
            // To git, 0 is no limit.
            0 => {
                Err(format!("the repository is full: it may take {} MiB", limits.max_repository_bytes >> 20))
            }
            left => Ok(left.min(project.max_push_bytes)),
        }
    }

    /// Refuses a git client in its own words.
    async fn error(&mut self, text: &str) -> u32 {
        let packet = Bytes::from(pktline::error(text));
        let said = tokio::time::timeout(LAST_WORDS, self.writer.stdout(packet));
        self.events.ignore_during(said).await;
        1
    }

    async fn say(&mut self, text: &str) {
        let text = Bytes::from(text.to_owned());
        let said = tokio::time::timeout(LAST_WORDS, self.writer.stderr(text));
        self.events.ignore_during(said).await;
    }
}

/// Tells the api that a push has ended; if it cannot be told, the push's silence tells it.
async fn close(shared: Arc<Shared>, push: Arc<Push>) {
    for _ in 0..CLOSE_ATTEMPTS {
        let request = ClosePushRequest { push_id: push.id.to_string() };
        match shared.control.close_push(request).await {
            Ok(_) => return,
            Err(status) => {
                tracing::debug!(push.id = %push.id, error = status.message(), "cannot close a push")
            }
        }
        if shared.shutdown.is_draining() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_protocol_version_is_taken() {
        assert!(takes_variable("GIT_PROTOCOL", "version=2"));
        assert!(takes_variable("GIT_PROTOCOL", "version=2:x=1.0"));
        for value in ["version=2;id", "$(id)", "a b", "a\nb", "VERSION=2", &"1".repeat(65)] {
            assert!(!takes_variable("GIT_PROTOCOL", value), "{value:?}");
        }
        for name in ["LD_PRELOAD", "GIT_DIR", "git_protocol", "GIT_PROTOCOL ", "--split-string", ""] {
            assert!(!takes_variable(name, "version=2"), "{name:?}");
        }
    }
}
