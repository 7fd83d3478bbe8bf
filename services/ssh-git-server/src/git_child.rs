//! The cage of a git process: a process of ours that gives up what git needs not have, then becomes git.

use std::{
    env, io,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode},
};

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, Signal};
use serde::{Deserialize, Serialize};

/// What a git child may touch and use; the first argument of the applet, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cage {
    /// Read and written: the repository.
    pub(crate) write: Vec<PathBuf>,
    /// Read and run, besides the system's programs: the hooks.
    pub(crate) read: Vec<PathBuf>,
    /// The longest file it may write.
    pub(crate) max_file_bytes: u64,
}

/// Where the system's programs and their data are.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/lib", "/lib64", "/etc", "/proc", "/sys/devices/system/cpu"];
/// Devices that programs open as a matter of course.
const DEVICES: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/urandom"];
/// The newest rights that are asked for; an older kernel gives what it has.
const RIGHTS: ABI = ABI::V3;

/// The applet: `git-child <cage> <program> <argument>…`.
pub(crate) fn run() -> ExitCode {
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
    let error = Command::new(program).args(arguments).exec();
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
    rustix::thread::set_no_new_privs(true)?;
    confine(cage).map_err(io::Error::other)
}

fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let hard = rustix::process::getrlimit(resource).maximum;
    let most = hard.map_or(most, |hard| hard.min(most));
    Ok(rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// Whether the kernel can confine a child to its paths.
pub(crate) fn is_confinable() -> bool {
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
