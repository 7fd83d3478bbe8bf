//! The cage of a git process: a process of ours that gives up what git needs not have, then becomes git.

use std::{
    env, io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, Signal};
use serde::{Deserialize, Serialize};

/// The name under which a program of ours is the cage of a git child, until it becomes git.
pub const APPLET: &str = "git-child";

/// What a git child may touch and use; the first argument of the applet, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cage {
    /// Read and written: the repository.
    pub write: Vec<PathBuf>,
    /// Read and run, besides the system's programs: the hooks.
    pub read: Vec<PathBuf>,
    /// The longest file it may write.
    pub max_file_bytes: u64,
}

/// Where the system's programs and their data are.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/lib", "/lib64", "/etc", "/proc", "/sys/devices/system/cpu"];
/// Devices that programs open as a matter of course.
const DEVICES: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/urandom"];
/// The newest rights that are asked for; an older kernel gives what it has.
const RIGHTS: ABI = ABI::V3;

/// What it, and each program that it starts, may hold in memory: several times the largest file of a tree.
const MEMORY: u64 = 1 << 30;

/// The program that holds the applet: `configured`, or else this one.
///
/// # Errors
/// There is no such file.
pub fn applet(configured: Option<&Path>) -> io::Result<PathBuf> {
    configured.map_or_else(env::current_exe, Path::canonicalize)
}

/// A command that runs `program` in `cage`, ready for its arguments: nothing of our environment reaches it.
///
/// # Errors
/// A path of the cage is not UTF-8.
pub fn command(applet: &Path, cage: &Cage, program: &Path) -> io::Result<tokio::process::Command> {
    #[expect(clippy::disallowed_methods, reason = "argv only; this is where every git child starts")]
    let mut command = tokio::process::Command::new(applet);
    command.arg0(APPLET).arg(serde_json::to_string(cage)?).arg(program).env_clear().current_dir("/");
    Ok(command)
}

/// Becomes a git child if this program was started as one. Call it first in `main`: no runtime and no thread may exist
/// yet.
#[must_use]
pub fn dispatch() -> Option<ExitCode> {
    let name = env::args_os().next()?;
    (Path::new(&name).file_name()? == APPLET).then(run)
}

/// The applet: `git-child <cage> <program> <argument>…`.
fn run() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let cage = arguments.next().and_then(|text| serde_json::from_str::<Cage>(text.to_str()?).ok());
    let (Some(cage), Some(program)) = (cage, arguments.next()) else {
        eprintln!("git-child: started by hand");
        return ExitCode::FAILURE;
    };
    if let Err(error) = enter(&cage) {
        eprintln!("git-child: {error}");
        return ExitCode::FAILURE;
    }
    #[expect(clippy::disallowed_methods, reason = "argv only; this process becomes git here")]
    let error = std::process::Command::new(program).args(arguments).exec();
    eprintln!("git-child: git cannot be started: {error}");
    ExitCode::FAILURE
}

fn enter(cage: &Cage) -> io::Result<()> {
    rustix::process::setsid()?;
    // A killed server could no longer ask for it.
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    limit(Resource::Core, 0)?;
    limit(Resource::Nofile, 1024)?;
    limit(Resource::Fsize, cage.max_file_bytes)?;
    limit(Resource::Data, MEMORY)?;
    rustix::thread::set_no_new_privs(true)?;
    confine(cage).map_err(io::Error::other)
}

fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let hard = rustix::process::getrlimit(resource).maximum;
    let most = hard.map_or(most, |hard| hard.min(most));
    Ok(rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// Whether the kernel can confine a child to its paths.
#[must_use]
pub fn is_confinable() -> bool {
    let probe = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create);
    probe.is_ok()
}

/// Best effort: on a kernel without Landlock this does nothing.
fn confine(cage: &Cage) -> Result<(), landlock::RulesetError> {
    let read = SYSTEM.iter().map(PathBuf::from).chain(cage.read.iter().cloned());
    let write = DEVICES.iter().map(PathBuf::from).chain(cage.write.iter().cloned());
    Ruleset::default()
        .handle_access(AccessFs::from_all(RIGHTS))?
        .create()?
        .add_rules(path_beneath_rules(read, AccessFs::from_read(RIGHTS)))?
        .add_rules(path_beneath_rules(write, AccessFs::from_all(RIGHTS)))?
        .restrict_self()?;
    Ok(())
}
