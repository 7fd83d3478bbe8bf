//! Requirements files: all that they include, and whether they point at files of the app.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use paastech_buildpack_steps::Failure;

/// A requirements file with everything that it includes.
#[derive(Debug, Default)]
pub(crate) struct Requirements {
    /// The text of each file.
    pub(crate) files: BTreeMap<PathBuf, String>,
    /// Whether a requirement is a directory or an archive of the app, whose content no key knows.
    pub(crate) local: bool,
}

impl Requirements {
    /// Reads a file and those that it names with `-r` and `-c`.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let mut requirements = Self::default();
        requirements.add(path)?;
        Ok(requirements)
    }

    fn add(&mut self, path: &Path) -> Result<(), Failure> {
        if self.files.contains_key(path) {
            return Ok(());
        }
        let text = fs::read_to_string(path).map_err(Failure::io("read", path))?;
        self.files.insert(path.to_owned(), text.clone());
        for line in text.lines().map(str::trim) {
            match included(line) {
                Some(name) if !name.contains("://") => self.add(&path.with_file_name(name))?,
                Some(_) => self.local = true,
                None => self.local |= is_local(line),
            }
        }
        Ok(())
    }
}

fn included(line: &str) -> Option<&str> {
    let rest =
        ["--requirement", "--constraint", "-r", "-c"].iter().find_map(|flag| line.strip_prefix(flag))?;
    let name = rest.trim_start_matches(['=', ' ', '\t']);
    name.split(" #").next().map(str::trim)
}

fn is_local(line: &str) -> bool {
    let begins = ["-e", "--editable", ".", "/", "file:"].iter().any(|start| line.starts_with(start));
    begins || line.contains("file:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn included_files_are_part_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        file(
            "requirements.txt",
            "-r base.txt # the rest\nflask\n--constraint=limits.txt\n-r requirements.txt",
        );
        file("base.txt", "requests");
        file("limits.txt", "");
        let requirements = Requirements::read(&dir.path().join("requirements.txt")).unwrap();
        assert_eq!(requirements.files.len(), 3);
        assert!(!requirements.local);
    }

    #[test]
    fn files_of_the_app_are_told_from_packages() {
        for line in ["-e .", "./vendor/thing", "--editable=src", "thing @ file:///workspace/thing"] {
            assert!(is_local(line), "{line}");
        }
        for line in ["flask==3.0", "thing @ https://example.org/thing.whl", "# comment", "--hash=sha256:00"] {
            assert!(!is_local(line), "{line}");
        }
    }
}
