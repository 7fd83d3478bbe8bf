//! What an installation by `up` lies in: the daemon's user, its binaries, its data, its configuration.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::geteuid;

use crate::{engine::Engine, leftovers, paths, process, progress::Step, up::ports::Ports};

/// The daemon's user where we are root, with a fixed id, so that data moves between machines.
const USER: &str = "paastech";
const UID: u32 = 870;
const BINARIES: [&str; 2] = ["paastechd", "paastech"];

/// Where an installation's parts lie.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// The daemon's own data directory.
    pub(crate) data: PathBuf,
    /// Ours: configuration, log, the demo account and its key. The daemon can write nothing here.
    pub(crate) state: PathBuf,
    /// The binaries that run.
    pub(crate) lib: PathBuf,
}

impl Layout {
    /// The layout for this user: the system's places for root, the user's own for others.
    pub(crate) fn new(data: Option<PathBuf>) -> Result<Self> {
        let root = geteuid().is_root();
        let data = match data {
            Some(data) => std::path::absolute(data)?,
            None if root => PathBuf::from("/var/lib/paastech"),
            None => paths::user_data()?,
        };
        let name = data.file_name().context("the data directory needs a name")?.to_string_lossy();
        let state = data.with_file_name(format!("{name}-up"));
        let lib = if root { PathBuf::from("/usr/local/lib/paastech") } else { state.join("bin") };
        Ok(Self { data, state, lib })
    }

    /// The daemon's configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.state.join("paastechd.toml")
    }

    /// Where the daemon's output goes.
    pub(crate) fn log(&self) -> PathBuf {
        self.state.join("paastechd.log")
    }

    /// The process id of the daemon that `up` started last.
    pub(crate) fn pid_file(&self) -> PathBuf {
        self.state.join("paastechd.pid")
    }

    /// The demo account.
    pub(crate) fn account_file(&self) -> PathBuf {
        self.state.join("account.json")
    }

    /// The daemon's binary.
    pub(crate) fn daemon(&self) -> PathBuf {
        self.lib.join("paastechd")
    }

    /// The command line client.
    pub(crate) fn cli(&self) -> PathBuf {
        self.lib.join("paastech")
    }
}

/// Builds the daemon and the CLI; returns the directory they are in.
pub(crate) async fn build(release: bool) -> Result<PathBuf> {
    eprintln!("… building paastechd and paastech (minutes, the first time)");
    let mut cargo = process::argv([paths::cargo()]);
    cargo.current_dir(paths::workspace()).args(["build", "--locked", "-p", "paastechd", "-p", "paastech"]);
    if release {
        cargo.arg("--release");
    }
    if !process::status(&mut cargo).await?.success() {
        bail!("the build failed: see above");
    }
    Ok(paths::target().join(if release { "release" } else { "debug" }))
}

/// Puts user, directories, binaries and configuration in place; what is there already stays.
pub(crate) async fn install(layout: &Layout, built: &Path, engine: &Engine, ports: &Ports) -> Result<()> {
    let step = Step::new(format!("installing to {}", layout.lib.display()));
    let root = geteuid().is_root();
    if root {
        ensure_user().await?;
    }
    directory(&layout.data, 0o700, root.then_some(UID))?;
    directory(&layout.state, 0o755, None)?;
    directory(&layout.lib, 0o755, None)?;
    for name in BINARIES {
        replace(&built.join(name), &layout.lib.join(name))?;
    }
    if root {
        link(&layout.cli(), Path::new("/usr/local/bin/paastech"))?;
    }
    fs::write(layout.config(), config(layout, engine, ports))?;
    step.done(&format!("data in {}", layout.data.display()));
    Ok(())
}

/// Removes the containers, networks and volumes of this installation, and of no other.
pub(crate) async fn remove_apps(layout: &Layout, engine: &Engine) -> Result<()> {
    let step = Step::new("removing this installation's apps");
    let Some(instance) = instance(layout)? else {
        step.skip("it never ran");
        return Ok(());
    };
    let removed = leftovers::remove(engine, &instance).await?;
    step.done(&format!("{removed} objects"));
    Ok(())
}

/// The user and group the daemon runs as, with the group of the engine's socket; `None` without root.
pub(crate) fn identity(engine: &Engine) -> Result<Option<Vec<String>>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let socket = fs::metadata(&engine.socket)?.gid();
    let id = UID.to_string();
    let words =
        ["setpriv", "--reuid", &id, "--regid", &id, "--groups", &format!("{id},{socket}"), "--no-new-privs"];
    Ok(Some(words.map(str::to_owned).to_vec()))
}

fn instance(layout: &Layout) -> Result<Option<String>> {
    match fs::read_to_string(layout.data.join("secrets").join("instance")) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn ensure_user() -> Result<()> {
    let id = UID.to_string();
    let known = process::stdout(process::argv(["id", "--user", USER]).env("LC_ALL", "C")).await;
    if let Ok(found) = known {
        ensure!(
            found.trim() == id,
            "the user {USER} exists with id {}, not {UID}: rename it, or give it that id",
            found.trim()
        );
        return Ok(());
    }
    process::stdout(&mut process::argv(["groupadd", "--system", "--gid", &id, USER])).await?;
    let words =
        ["useradd", "--system", "--uid", &id, "--gid", &id, "--no-create-home", "--home-dir", "/nonexistent"];
    process::stdout(process::argv(words).args(["--shell", "/usr/sbin/nologin", USER])).await?;
    Ok(())
}

fn directory(path: &Path, mode: u32, owner: Option<u32>) -> Result<()> {
    let made = || -> std::io::Result<()> {
        fs::create_dir_all(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        owner.map_or(Ok(()), |id| chown(path, Some(id), Some(id)))
    };
    made().with_context(|| format!("cannot make {}", path.display()))
}

/// A copy aside and a rename: a running binary is not written to.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let aside = to.with_extension("new");
    fs::copy(from, &aside)
        .with_context(|| format!("cannot copy {} to {}", from.display(), aside.display()))?;
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o755))?;
    Ok(fs::rename(&aside, to)?)
}

fn link(target: &Path, at: &Path) -> Result<()> {
    match symlink(target, at) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}

fn config(layout: &Layout, engine: &Engine, ports: &Ports) -> String {
    let text = |path: &Path| toml::Value::from(path.to_string_lossy().into_owned());
    format!(
        "# Written by `cargo xtask up`: a development installation, on loopback only.\n\
         data_dir = {data}\ndomain = \"localhost\"\nsign_up = \"open\"\n\n\
         [api]\nlisten = \"{api}\"\n\n[ssh]\nlisten = \"{ssh}\"\n\n[edge]\nlisten = \"{http}\"\n\n\
         [pomegranate]\nsocket = {socket}\n",
        data = text(&layout.data),
        api = ports.api(),
        ssh = ports.ssh(),
        http = ports.http(),
        socket = text(&engine.socket),
    )
}
