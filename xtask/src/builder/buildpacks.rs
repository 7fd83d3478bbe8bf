//! Our buildpacks, compiled as static binaries: they run in any image of the same architecture.
//!
//! A folder of `buildpacks/` with a `buildpack.toml` is one, and is the program `bin/build` and `bin/detect`; a
//! folder `<id>-<name>` beside it is a program that comes with it, as `bin/<id>-<name>`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::{paths, process, progress::Step};

/// One buildpack, ready to be put into the builder.
pub(crate) struct Buildpack {
    /// `paastech/python`.
    pub(crate) id: String,
    /// `0.1.0`.
    pub(crate) version: String,
    /// The text of its `buildpack.toml`.
    pub(crate) descriptor: String,
    /// Its own program, then those that come with it: name and file.
    pub(crate) programs: Vec<(String, PathBuf)>,
}

#[derive(Deserialize)]
struct Descriptor {
    buildpack: Identity,
}

#[derive(Deserialize)]
struct Identity {
    id: String,
    version: String,
}

#[derive(Deserialize)]
struct Manifest {
    package: Named,
    #[serde(default)]
    bin: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// Compiles all of them.
pub(crate) async fn compile() -> Result<Vec<Buildpack>> {
    let step = Step::new("buildpacks");
    let folders = folders(&paths::workspace().join("buildpacks"))?;
    let target = paths::target().join("buildpacks");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut build = process::argv([paths::cargo()]);
    build.args(["build", "--locked", "--release", "--target", &triple]);
    for folder in folders.iter().flat_map(|folder| &folder.programs) {
        build.args(["--package", &package(folder)?]);
    }
    // They wait for the tools they start: a quick build is worth more than quick code.
    build.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    build.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    build.env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", "-C target-feature=+crt-static");
    build.current_dir(paths::workspace());
    step.note("compiling (a minute or two from nothing)");
    process::logged(&mut build, &paths::cache()?.join("buildpacks.log")).await?;
    let out = target.join(triple).join("release");
    let packs: Vec<Buildpack> = folders.iter().map(|folder| folder.read(&out)).collect::<Result<_>>()?;
    step.done(&format!("{} compiled", packs.len()));
    Ok(packs)
}

struct Folder {
    descriptor: PathBuf,
    programs: Vec<PathBuf>,
}

fn folders(root: &Path) -> Result<Vec<Folder>> {
    let mut all: Vec<PathBuf> = fs::read_dir(root)?.flatten().map(|entry| entry.path()).collect();
    all.retain(|dir| dir.join("Cargo.toml").is_file());
    all.sort();
    let is_pack = |dir: &&PathBuf| dir.join("buildpack.toml").is_file();
    let with = |pack: &PathBuf| {
        let prefix = format!("{}-", file_name(pack));
        let extra = all.iter().filter(move |dir| !is_pack(dir) && file_name(dir).starts_with(&prefix));
        let programs = std::iter::once(pack).chain(extra).cloned().collect();
        Folder { descriptor: pack.join("buildpack.toml"), programs }
    };
    let found: Vec<Folder> = all.iter().filter(is_pack).map(with).collect();
    ensure!(!found.is_empty(), "no buildpack in {}", root.display());
    Ok(found)
}

impl Folder {
    fn read(&self, out: &Path) -> Result<Buildpack> {
        let descriptor = fs::read_to_string(&self.descriptor)?;
        let parsed: Descriptor = toml::from_str(&descriptor)
            .with_context(|| format!("{} is malformed", self.descriptor.display()))?;
        let programs = self.programs.iter().map(|dir| Ok((file_name(dir), out.join(program(dir)?))));
        let Identity { id, version } = parsed.buildpack;
        Ok(Buildpack { id, version, descriptor, programs: programs.collect::<Result<_>>()? })
    }
}

/// The name of the package in `dir`.
fn package(dir: &Path) -> Result<String> {
    Ok(manifest(dir)?.package.name)
}

/// The name of its program.
fn program(dir: &Path) -> Result<String> {
    let manifest = manifest(dir)?;
    Ok(manifest.bin.into_iter().next().unwrap_or(manifest.package).name)
}

fn manifest(dir: &Path) -> Result<Manifest> {
    Ok(toml::from_str(&fs::read_to_string(dir.join("Cargo.toml"))?)?)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_belongs_to_the_buildpack_whose_name_it_begins_with() {
        let dir = tempfile::tempdir().unwrap();
        for (name, is_pack) in [("static", true), ("static-server", false), ("go", true), ("steps", false)] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("Cargo.toml"), "").unwrap();
            if is_pack {
                fs::write(dir.path().join(name).join("buildpack.toml"), "").unwrap();
            }
        }
        let found = folders(dir.path()).unwrap();
        let names: Vec<Vec<String>> =
            found.iter().map(|folder| folder.programs.iter().map(|path| file_name(path)).collect()).collect();
        assert_eq!(names, [vec!["go"], vec!["static", "static-server"]]);
    }
}
