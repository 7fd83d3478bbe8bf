//! Debian's packages: what is installed, installing what is not, and the mirror that apt itself uses.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::geteuid;

use crate::{paths, process, progress::Step};

const LISTS: &str = "/var/lib/apt/lists";
const LISTS_AGE: Duration = Duration::from_hours(24);

/// Installs those of `packages` that are absent; `needed_for` completes the sentence when that is not possible.
pub(crate) async fn ensure(packages: &[&str], needed_for: &str) -> Result<()> {
    let mut missing = Vec::new();
    for package in packages {
        if !installed(package).await? {
            missing.push(*package);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !process::exists("apt-get") {
        bail!("{needed_for} needs {names}, and this system has no apt-get: install them with its own tools");
    }
    if !geteuid().is_root() {
        bail!("{needed_for} needs {names}: run `sudo apt-get install --no-install-recommends {names}`");
    }
    install(&missing).await
}

/// Keeps the package that comes from starting a service that nobody asked for; one that is there stays as it is.
pub(crate) fn mask_service(name: &str) -> Result<()> {
    let units = Path::new("/etc/systemd/system");
    let mask = units.join(format!("{name}.service"));
    if geteuid().is_root() && units.is_dir() && mask.symlink_metadata().is_err() {
        symlink("/dev/null", &mask).with_context(|| format!("cannot make {}", mask.display()))?;
    }
    Ok(())
}

async fn installed(package: &str) -> Result<bool> {
    if !process::exists("dpkg-query") {
        return Ok(false);
    }
    let mut query = process::argv(["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]);
    Ok(process::output(&mut query).await?.stdout == b"installed")
}

async fn install(packages: &[&str]) -> Result<()> {
    let log = paths::cache()?.join("apt.log");
    if lists_are_old(Path::new(LISTS), SystemTime::now()) {
        update(&log).await?;
    }
    let step = Step::new(format!("installing {}", packages.join(" ")));
    if try_install(packages, &log).await.is_err() {
        // The lists may name versions that the mirror no longer has.
        update(&log).await?;
        try_install(packages, &log).await.context("apt-get could not install what is needed")?;
    }
    step.done("");
    Ok(())
}

async fn try_install(packages: &[&str], log: &Path) -> Result<()> {
    let words = ["install", "--yes", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold"];
    process::logged(apt_get().args(words).args(packages), log).await
}

/// A source of somebody else's that does not answer is no reason to stop: the install tells.
async fn update(log: &Path) -> Result<()> {
    let step = Step::new("updating apt's package lists");
    let result = process::logged(apt_get().args(["update", "-o", "Acquire::http::Timeout=20"]), log).await;
    crate::interrupt::check()?;
    match result {
        Ok(()) => step.done(""),
        Err(_) => step.done(&format!("not all sources answered, see {}", log.display())),
    }
    Ok(())
}

fn apt_get() -> tokio::process::Command {
    let mut command = process::argv(["apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=300"]);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn lists_are_old(lists: &Path, now: SystemTime) -> bool {
    let Ok(entries) = fs::read_dir(lists) else { return true };
    let newest = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
        .filter_map(|entry| entry.metadata().ok()?.modified().ok())
        .max();
    newest.is_none_or(|time| now.duration_since(time).is_ok_and(|age| age > LISTS_AGE))
}

/// The mirror and keyring from which apt takes the Debian release `suite`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirror {
    /// Its base address.
    pub(crate) url: String,
    /// The keyring that signs it.
    pub(crate) keyring: String,
}

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// This host's files of sources that name `suite`, its updates or its security fixes: name and text.
pub(crate) fn sources(suite: &str) -> Result<Vec<(String, String)>> {
    let suites = [suite.to_owned(), format!("{suite}-updates"), format!("{suite}-security")];
    let read = files().into_iter().filter_map(|file| {
        let text = fs::read_to_string(&file).ok()?;
        let deb822 = file.extension()? == "sources";
        let find = if deb822 { in_deb822 } else { in_one_line };
        let named = suites.iter().any(|suite| find(&text, suite).is_some());
        // apt reads no other names.
        let name = format!("{}.{}", file.file_stem()?.display(), if deb822 { "sources" } else { "list" });
        named.then_some((name, text))
    });
    let found: Vec<_> = read.collect();
    ensure!(!found.is_empty(), "apt's sources name no mirror of Debian {suite}");
    Ok(found)
}

fn files() -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.retain(|file| file.extension().is_some_and(|kind| kind == "list" || kind == "sources"));
    files.sort();
    files
}

/// Finds the mirror of `suite` among apt's sources, in the one-line form and in deb822.
pub(crate) fn mirror(suite: &str) -> Result<Mirror> {
    files()
        .iter()
        .filter_map(|file| Some((file.extension()? == "sources", fs::read_to_string(file).ok()?)))
        .find_map(|(deb822, text)| if deb822 { in_deb822(&text, suite) } else { in_one_line(&text, suite) })
        .with_context(|| {
            format!("apt's sources name no mirror of Debian {suite}: add one to /etc/apt/sources.list")
        })
}

fn in_one_line(text: &str, suite: &str) -> Option<Mirror> {
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("deb")?.trim_start();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let (url, found) = (words.next()?, words.next()?);
        let keyring = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
        debian(url, found == suite && words.any(|word| word == "main"), keyring)
    })
}

fn in_deb822(text: &str, suite: &str) -> Option<Mirror> {
    text.split("\n\n").find_map(|stanza| {
        let field = |name: &str| {
            stanza.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let has = |name: &str, word: &str| {
            field(name).is_some_and(|text| text.split_whitespace().any(|w| w == word))
        };
        let enabled = field("Enabled").is_none_or(|value| value != "no");
        let fits = enabled && has("Types", "deb") && has("Suites", suite) && has("Components", "main");
        debian(field("URIs")?.split_whitespace().next()?, fits, field("Signed-By"))
    })
}

fn debian(url: &str, fits: bool, keyring: Option<&str>) -> Option<Mirror> {
    let keyring = keyring.filter(|path| path.starts_with('/')).unwrap_or(KEYRING).to_owned();
    fits.then(|| Mirror { url: url.to_owned(), keyring })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_found_in_the_one_line_form() {
        let text = "# deb http://old/debian bookworm main\n\
                    deb http://security/debian bookworm-security main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://mirror/debian bookworm main contrib\n";
        let mirror = in_one_line(text, "bookworm").unwrap();
        assert_eq!((mirror.url.as_str(), mirror.keyring.as_str()), ("http://mirror/debian", "/k.gpg"));
        assert_eq!(in_one_line(text, "trixie"), None);
    }

    #[test]
    fn the_mirror_is_found_in_deb822() {
        let text = "Types: deb\nURIs: http://off/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n\n\
                    Types: deb\n# a comment\nURIs: http://mirror/debian\nSuites: bookworm bookworm-updates\n\
                    Components: main\n";
        let mirror = in_deb822(text, "bookworm").unwrap();
        assert_eq!((mirror.url.as_str(), mirror.keyring.as_str()), ("http://mirror/debian", KEYRING));
        assert_eq!(in_deb822(text, "bookworm-security"), None);
    }

    #[test]
    fn absent_lists_are_old() {
        let dir = tempfile::tempdir().unwrap();
        assert!(lists_are_old(dir.path(), SystemTime::now()));
        fs::write(dir.path().join("deb_main_Packages.lz4"), "").unwrap();
        assert!(!lists_are_old(dir.path(), SystemTime::now()));
        assert!(lists_are_old(dir.path(), SystemTime::now() + LISTS_AGE * 2));
    }
}
