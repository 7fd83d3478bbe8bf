//! What a layer's content follows from, as one short text.

use std::{fs, io, path::Path};

use libcnb::Target;
use sha2::{Digest, Sha256};

use crate::Failure;

/// A digest over named parts. Two keys are equal when every part is, in the same order.
pub struct Key(Sha256);

impl Key {
    /// Starts with the base image: what was compiled for one system is wrong on the next.
    pub fn new(target: &Target) -> Self {
        Self(Sha256::new())
            .with("os", &target.os)
            .with("arch", &target.arch)
            .with("distro", &target.distro_name)
            .with("distro-version", &target.distro_version)
    }

    /// Adds a part. Lengths keep neighbouring parts apart.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.0.update((name.len() as u64).to_be_bytes());
        self.0.update(name);
        self.0.update((value.len() as u64).to_be_bytes());
        self.0.update(value);
        self
    }

    /// Adds a file's content; an absent file counts as a part of its own kind.
    pub fn with_file(self, path: &Path) -> Result<Self, Failure> {
        let name = path.to_string_lossy().into_owned();
        match fs::read(path) {
            Ok(content) => Ok(self.with(&name, content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.with("absent", name)),
            Err(error) => Err(Failure::io("read", path)(error)),
        }
    }

    /// The key as it stands in a layer's metadata.
    pub fn finish(self) -> String {
        hex::encode(self.0.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bookworm() -> Target {
        Target {
            os: "linux".to_owned(),
            arch: "amd64".to_owned(),
            arch_variant: None,
            distro_name: "debian".to_owned(),
            distro_version: "12".to_owned(),
        }
    }

    #[test]
    fn the_base_image_is_part_of_every_key() {
        let other = Target { distro_version: "13".to_owned(), ..bookworm() };
        assert_ne!(Key::new(&bookworm()).finish(), Key::new(&other).finish());
    }

    #[test]
    fn parts_cannot_flow_into_each_other() {
        let one = Key::new(&bookworm()).with("a", "bc").finish();
        let two = Key::new(&bookworm()).with("ab", "c").finish();
        assert_ne!(one, two);
    }

    #[test]
    fn an_absent_file_differs_from_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lock");
        let absent = Key::new(&bookworm()).with_file(&file).unwrap().finish();
        fs::write(&file, "").unwrap();
        assert_ne!(absent, Key::new(&bookworm()).with_file(&file).unwrap().finish());
    }
}
