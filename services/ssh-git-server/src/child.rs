//! The git process of one push or fetch: exactly our arguments, exactly our environment, in its cage.

use std::{
    ffi::OsString,
    io,
    path::Path,
    process::{ExitStatus, Stdio},
};

use paastech_git_controller::{
    cage::{self, Cage},
    git,
};
use tokio::process::Child;

use crate::{command::Service, hook, push::Project, state::Paths};

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
    let mut command = cage::command(&paths.applet, &cage, plan.git)?;
    command
        .args(arguments(paths, plan))
        .envs(git::ENVIRONMENT)
        .env("GIT_ALLOC_LIMIT", ALLOCATION)
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

/// The exit code as SSH knows it.
pub(crate) fn exit_code(status: ExitStatus) -> u32 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u32::try_from(code).unwrap_or(1)
}
