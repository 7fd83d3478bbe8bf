//! The build context of the three images, as a tar: the same bytes for the same content.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use crate::{
    apt,
    base_image::SUITE,
    builder::{buildpacks::Buildpack, images::RUN},
    paths,
};

/// What the lifecycle's phases are called.
const PHASES: [&str; 8] =
    ["analyzer", "builder", "creator", "detector", "exporter", "extender", "rebaser", "restorer"];

/// A context under way.
pub(crate) struct Context(Builder<Vec<u8>>);

impl Context {
    /// With this Dockerfile, a path in the workspace.
    pub(crate) fn new(dockerfile: &str) -> Result<Self> {
        let mut context = Self(Builder::new(Vec::new()));
        let text = fs::read(paths::workspace().join(dockerfile))?;
        context.file("Dockerfile", 0o644, &text)?;
        Ok(context)
    }

    /// The lifecycle, and its phases by their names.
    pub(crate) fn lifecycle(&mut self, dir: &Path) -> Result<()> {
        for program in ["lifecycle", "launcher"] {
            self.program(&format!("cnb/lifecycle/{program}"), &dir.join(program))?;
        }
        for phase in PHASES {
            self.link(&format!("cnb/lifecycle/{phase}"), "lifecycle")?;
        }
        Ok(())
    }

    /// The host's CA bundle; an empty one where it has none.
    pub(crate) fn certificates(&mut self, bundle: &[u8]) -> Result<()> {
        self.file("ca-certificates.crt", 0o644, bundle)
    }

    /// This host's sources of Debian packages.
    pub(crate) fn apt(&mut self) -> Result<()> {
        for (name, text) in apt::sources(SUITE)? {
            self.file(&format!("apt/{name}"), 0o644, text.as_bytes())?;
        }
        Ok(())
    }

    /// The buildpacks, their order, and the run image.
    pub(crate) fn buildpacks(&mut self, packs: &[Buildpack]) -> Result<()> {
        let order = fs::read(paths::workspace().join("buildpacks/order.toml"))?;
        self.file("cnb/order.toml", 0o644, &order)?;
        self.file("cnb/run.toml", 0o644, format!("[[images]]\nimage = \"{RUN}\"\n").as_bytes())?;
        for pack in packs {
            let dir = format!("cnb/buildpacks/{}/{}", pack.id.replace('/', "_"), pack.version);
            self.file(&format!("{dir}/buildpack.toml"), 0o644, pack.descriptor.as_bytes())?;
            let (_, main) = &pack.programs[0];
            self.program(&format!("{dir}/bin/build"), main)?;
            self.link(&format!("{dir}/bin/detect"), "build")?;
            for (name, program) in &pack.programs[1..] {
                self.program(&format!("{dir}/bin/{name}"), program)?;
            }
        }
        Ok(())
    }

    /// The tar, and the hash of it.
    pub(crate) fn finish(self) -> Result<(Vec<u8>, String)> {
        let bytes = self.0.into_inner()?;
        let hash = hex::encode(&Sha256::digest(&bytes)[..16]);
        Ok((bytes, hash))
    }

    /// A program.
    pub(crate) fn program(&mut self, name: &str, from: &Path) -> Result<()> {
        let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.file(name, 0o755, &bytes)
    }

    fn file(&mut self, name: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        let mut header = header(EntryType::Regular, mode);
        header.set_size(bytes.len() as u64);
        Ok(self.0.append_data(&mut header, name, bytes)?)
    }

    fn link(&mut self, name: &str, to: &str) -> Result<()> {
        Ok(self.0.append_link(&mut header(EntryType::Symlink, 0o777), name, to)?)
    }
}

/// No time, no owner.
fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header.set_mtime(0);
    header
}
