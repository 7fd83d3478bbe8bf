//! What an installation by `up` lies in: the daemon's user, its binaries, its data, its configuration.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::geteuid;

use crate::{
    engine::Engine,
    layout::{Layout, Tier},
    leftovers, paths,
    ports::Ports,
    process,
    progress::Step,
};

/// The daemon's user where we are root, with a fixed id, so that data moves between machines.
const USER: &str = "paastech";
const UID: u32 = 870;
/// Where root's shell finds the command line client.
const LINK: &str = "/usr/local/bin/paastech";
const BINARIES: [&str; 2] = ["paastechd", "paastech"];

/// The daemon and the CLI.
pub(crate) const PROGRAMS: &[&str] = &["paastechd", "paastech"];

/// Builds these packages; returns the directory that their programs are in.
pub(crate) async fn build(packages: &[&str], release: bool) -> Result<PathBuf> {
    eprintln!("… building {} (minutes, the first time)", packages.join(", "));
    let mut cargo = process::argv([paths::cargo()]);
    cargo.current_dir(paths::workspace()).args(["build", "--locked"]);
    cargo.args(packages.iter().flat_map(|package| ["-p", package]));
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
        link(&layout.cli(), Path::new(LINK))?;
    }
    fs::write(layout.config(), layout.config_text(engine, ports, Tier::Development))?;
    step.done(&format!("data in {}", layout.data.display()));
    Ok(())
}

/// Removes the containers, networks and volumes of this installation, and of no other; images stay for the next start.
pub(crate) async fn remove_apps(layout: &Layout, engine: &Engine) -> Result<()> {
    let step = Step::new("removing this installation's apps");
    let Some(instance) = layout.instance()? else {
        step.skip("it never ran");
        return Ok(());
    };
    let mut objects = leftovers::list(engine, Some(&instance)).await?;
    objects.retain(|object| !object.is_image());
    let result = format!("{} objects", objects.len());
    leftovers::remove(engine, objects).await?;
    step.done(&result);
    Ok(())
}

/// Puts the command line client into a folder, and where root's shell finds it unless another is there; returns what
/// one types to run it.
pub(crate) fn install_cli(built: &Path, folder: &Path) -> Result<String> {
    let cli = folder.join("paastech");
    directory(folder, 0o755, None)?;
    replace(&built.join("paastech"), &cli)?;
    link(&cli, Path::new(LINK))?;
    Ok(cli_name(&cli))
}

/// Takes it from where root's shell finds it.
pub(crate) fn unlink_cli(folder: &Path) -> Result<()> {
    if fs::read_link(LINK).is_ok_and(|target| target == folder.join("paastech")) {
        fs::remove_file(LINK)?;
    }
    Ok(())
}

/// What one types to run this command line client.
pub(crate) fn cli_name(cli: &Path) -> String {
    let linked = fs::read_link(LINK).is_ok_and(|target| target == cli);
    if linked { "paastech".to_owned() } else { cli.display().to_string() }
}

/// The user and group the daemon runs as, with the group of the engine's socket, as the words before its own;
/// none without root.
pub(crate) fn identity(engine: &Engine) -> Result<Vec<String>> {
    if !geteuid().is_root() {
        return Ok(Vec::new());
    }
    let socket = fs::metadata(&engine.socket)?.gid();
    let id = UID.to_string();
    let words =
        ["setpriv", "--reuid", &id, "--regid", &id, "--groups", &format!("{id},{socket}"), "--no-new-privs"];
    Ok(words.map(str::to_owned).to_vec())
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
