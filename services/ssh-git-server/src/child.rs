//! The git process of one push or fetch: exactly our arguments, exactly our environment, in its cage.

use std::{
    ffi::OsString,
    io,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use paastech_git_controller::git;
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};

use crate::{applet, command::Service, git_child::Cage, hook, push::Project, state::Paths};

/// What every git that talks to a client is told, besides what every git of ours is told.
const SETTINGS: [&str; 6] = [
    "transfer.fsckObjects=true",
    "transfer.hideRefs=refs/paas",
    "transfer.unpackLimit=100",
    "uploadpack.allowFilter=true",
    "receive.advertisePushOptions=true",
    "receive.autogc=false",
];
/// What a push is held to. Old histories have the three faults that are forgiven.
const PUSH_SETTINGS: [&str; 6] = [
    "receive.denyDeleteCurrent=refuse",
    "receive.shallowUpdate=false",
    "core.logAllRefUpdates=true",
    "receive.fsck.badTimezone=ignore",
    "receive.fsck.missingSpaceBeforeDate=ignore",
    "receive.fsck.zeroPaddedFilemode=ignore",
];
/// The most memory of one allocation: objects that claim to be huge fail instead.
const ALLOCATION: &str = "256m";
/// What a pack's index and its bases may add to it on disk.
const PACK_SLACK: u64 = 256 << 20;
/// How long git may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

/// What a push's hooks need to find their way back.
pub(crate) struct HookAccess<'a> {
    pub(crate) token: &'a str,
}

/// What to start.
pub(crate) struct Plan<'a> {
    pub(crate) service: Service,
    pub(crate) git: &'a Path,
    pub(crate) repository: &'a Path,
    pub(crate) project: &'a Project,
    /// The client's wish for a protocol version, checked.
    pub(crate) git_protocol: Option<&'a str>,
    pub(crate) hooks: Option<HookAccess<'a>>,
}

/// Starts git.
pub(crate) fn spawn(paths: &Paths, plan: &Plan<'_>) -> io::Result<Child> {
    let cage = Cage {
        write: vec![plan.repository.to_owned()],
        read: vec![paths.hooks.clone(), paths.applet.clone(), plan.git.to_owned()],
        max_file_bytes: plan.project.max_push_bytes.saturating_mul(2).saturating_add(PACK_SLACK),
    };
    #[expect(clippy::disallowed_methods, reason = "argv only; this is where every git child starts")]
    let mut command = Command::new(&paths.applet);
    command
        .arg0(applet::GIT_CHILD)
        .arg(serde_json::to_string(&cage)?)
        .arg(plan.git)
        .args(arguments(paths, plan))
        .env_clear()
        .envs(git::ENVIRONMENT)
        .env("GIT_ALLOC_LIMIT", ALLOCATION)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(protocol) = plan.git_protocol {
        command.env("GIT_PROTOCOL", protocol);
    }
    if let Some(hooks) = &plan.hooks {
        command.env(hook::SOCKET, &paths.socket).env(hook::TOKEN, hooks.token);
    }
    command.spawn()
}

fn arguments(paths: &Paths, plan: &Plan<'_>) -> Vec<OsString> {
    let mut arguments = git::configuration(plan.repository);
    let mut set = |setting: OsString| arguments.extend([OsString::from("-c"), setting]);
    SETTINGS.iter().for_each(|setting| set(setting.into()));
    if plan.service == Service::ReceivePack {
        PUSH_SETTINGS.iter().for_each(|setting| set(setting.into()));
        set(format!("receive.maxInputSize={}", plan.project.max_push_bytes).into());
    }
    let mut hooks = OsString::from("core.hooksPath=");
    hooks.push(&paths.hooks);
    set(hooks);
    arguments.push(plan.service.verb().into());
    if plan.service == Service::UploadPack {
        arguments.extend(["--strict".into(), "--timeout=600".into()]);
    }
    // Absolute, from an id: it cannot be taken for an option.
    arguments.push(plan.repository.into());
    arguments
}

/// Ends a child and all that it started.
pub(crate) struct Killer(Option<Pid>);

impl Killer {
    pub(crate) fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// Asks git to end, then ends it. Only while the child has not been waited for.
    pub(crate) async fn end(&self) {
        self.signal(Signal::TERM);
        tokio::time::sleep(GRACE).await;
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        let Some(pid) = self.0 else { return };
        // Before the applet has made its session there is no such group.
        if rustix::process::kill_process_group(pid, signal).is_err() {
            rustix::process::kill_process(pid, signal).ok();
        }
    }
}

/// The exit code as SSH knows it.
pub(crate) fn exit_code(status: ExitStatus) -> u32 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u32::try_from(code).unwrap_or(1)
}
