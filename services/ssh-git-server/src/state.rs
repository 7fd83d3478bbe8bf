//! The server's own directory: hooks and the socket they speak to.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use paastech_git_controller::cage;
use rustix::fs::FlockOperation;
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

/// The directory, ready and ours for as long as this is held.
pub(crate) struct State {
    pub(crate) paths: Paths,
    pub(crate) hooks: UnixListener,
    /// Holds the lock on the directory.
    pub(crate) lock: File,
}

/// Makes the directory, the hooks and the socket; what an earlier process left of them is replaced.
pub(crate) fn prepare(state_dir: &Path, applet: Option<&Path>) -> Result<State, Error> {
    make_private(state_dir)?;
    let state_dir = state_dir.canonicalize().map_err(Error::state(state_dir))?;
    let lock = File::open(&state_dir).map_err(Error::state(&state_dir))?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| Error::InUse(state_dir.clone()))?;
    let applet = cage::applet(applet).map_err(Error::state(applet.unwrap_or(Path::new("/proc/self/exe"))))?;
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
    Ok(State { paths: Paths { hooks, socket, applet }, hooks: listener, lock })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_server_leaves_the_first_ones_socket_alone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = prepare(dir.path(), None).expect("free");
        assert!(matches!(prepare(dir.path(), None), Err(Error::InUse(_))));
        let reached = tokio::net::UnixStream::connect(&first.paths.socket).await;
        assert!(reached.is_ok() && first.hooks.accept().await.is_ok());
        drop(first);
        prepare(dir.path(), None).expect("free again");
    }

    #[tokio::test]
    async fn hooks_are_links_to_the_program() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let state = prepare(dir.path(), Some(Path::new("/usr/bin/git"))).expect("free");
        for name in applet::HOOKS {
            let target = fs::read_link(state.paths.hooks.join(name)).expect("a link");
            assert_eq!(target, Path::new("/usr/bin/git").canonicalize().expect("there"));
        }
        let mode = fs::metadata(&state.paths.socket).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
