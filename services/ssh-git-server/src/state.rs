//! The server's own directory: hooks and the socket they speak to.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

use crate::{Error, applet};

/// The kernel's limit, with its closing NUL.
const MAX_SOCKET_PATH: usize = 107;

/// Paths that a git child needs.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// `core.hooksPath`.
    pub(crate) hooks: PathBuf,
    /// Where hooks reach the server.
    pub(crate) socket: PathBuf,
    /// The program that holds the applets.
    pub(crate) applet: PathBuf,
}

/// Makes the directory, the hooks and the socket; what an earlier process left of them is replaced.
pub(crate) fn prepare(state_dir: &Path, applet: Option<&Path>) -> Result<(Paths, UnixListener), Error> {
    make_private(state_dir)?;
    let state_dir = state_dir.canonicalize().map_err(Error::state(state_dir))?;
    let applet = match applet {
        Some(path) => path.canonicalize().map_err(Error::state(path))?,
        None => std::env::current_exe().map_err(Error::state("/proc/self/exe"))?,
    };
    let hooks = state_dir.join("hooks");
    make_private(&hooks)?;
    for name in applet::HOOKS {
        link(&applet, &hooks.join(name)).map_err(Error::state(hooks.join(name)))?;
    }
    let socket = state_dir.join("hooks.sock");
    if socket.as_os_str().len() > MAX_SOCKET_PATH {
        return Err(Error::LongSocket(socket));
    }
    remove(&socket).map_err(Error::state(&socket))?;
    let listener = UnixListener::bind(&socket).map_err(Error::state(&socket))?;
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(&socket, private).map_err(Error::state(&socket))?;
    Ok((Paths { hooks, socket, applet }, listener))
}

fn make_private(dir: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(Error::state(dir))
}

/// Points `name` at `target` in one step, so that a push under way never misses its hook.
fn link(target: &Path, name: &Path) -> io::Result<()> {
    let aside = name.with_extension("new");
    remove(&aside)?;
    symlink(target, &aside)?;
    fs::rename(aside, name)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
