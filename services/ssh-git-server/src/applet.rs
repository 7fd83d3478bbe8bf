//! The names under which this program is something else: git's hooks, and the shell-free cage of git itself.

use std::{env, ffi::OsStr, path::Path, process::ExitCode};

use paastech_git_controller::cage;

use crate::hook;

/// The hooks, as git calls them.
pub(crate) const HOOKS: [&str; 2] = ["pre-receive", "post-receive"];

/// Runs the applet that this program was started as, if it was started as one. Call it first in `main`: no runtime
/// and no thread may exist yet.
#[must_use]
pub fn dispatch() -> Option<ExitCode> {
    let name = env::args_os().next()?;
    match Path::new(&name).file_name().and_then(OsStr::to_str)? {
        "pre-receive" => Some(hook::pre_receive::run()),
        "post-receive" => Some(hook::post_receive::run()),
        _ => cage::dispatch(),
    }
}
