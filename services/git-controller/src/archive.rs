//! A commit's tree as a ustar stream, by our own walk: what a hostile tree can hold is refused here.
//!
//! Used by the git-controller's `Archive` and by the SSH server's pre-receive hook, inside git's quarantine.

mod name;

use std::{
    collections::HashSet,
    ffi::OsStr,
    io::{self, Write},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use git2::{ObjectType, Odb, OdbObject, Oid, Repository, Tree};
use paastech_types::Kind;
use serde::{Deserialize, Serialize};
use tar::{Builder, EntryType, Header};

/// The longest path and the longest target of a symbolic link, in bytes.
const MAX_PATH: usize = 4096;
/// How many warnings of one kind are spelled out.
const MAX_WARNINGS: usize = 5;

/// The bounds of one walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of all files together, unpacked.
    pub max_bytes: u64,
    /// Bytes of one file, which is held in memory while it is written.
    pub max_file_bytes: u64,
    /// Files, links and directories.
    pub max_entries: u64,
    /// Directories within directories.
    pub max_depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 1 << 30, max_file_bytes: 256 << 20, max_entries: 200_000, max_depth: 64 }
    }
}

/// What a walk found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Files, links and directories written.
    pub entries: u64,
    /// Bytes of all files together.
    pub bytes: u64,
    /// Sentences for whoever pushed.
    pub warnings: Vec<String>,
}

/// Why a tree is refused or cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An entry that could do harm where it is unpacked.
    #[error("the tree is refused: `{path}` {why}")]
    Entry {
        /// Its path, made printable.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// More than the limits allow.
    #[error("the tree is refused: {0}")]
    Limit(String),
    /// The commit or an object of it is absent.
    #[error("no such commit")]
    NoCommit,
    /// libgit2 failed.
    #[error("git: {}", .0.message())]
    Git(#[from] git2::Error),
    /// The writer failed.
    #[error("the archive cannot be written: {0}")]
    Write(#[from] io::Error),
}

impl Error {
    /// What it means to the caller.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Entry { .. } => Kind::Invalid,
            Self::Limit(_) => Kind::Exhausted,
            Self::NoCommit => Kind::NotFound,
            Self::Git(_) | Self::Write(_) => Kind::Internal,
        }
    }
}

/// Writes the tree of `commit` as one ustar archive. It begins with the plain entry `./`: engines take an archive
/// that begins with a long name for a Dockerfile.
///
/// # Errors
/// The tree is refused, an object is missing, or the writer fails; the archive is then incomplete.
pub fn write_tree<W: Write>(
    repository: &Repository,
    commit: Oid,
    limits: &Limits,
    writer: W,
) -> Result<Summary, Error> {
    let commit = repository.find_commit(commit).map_err(|error| match error.code() {
        git2::ErrorCode::NotFound => Error::NoCommit,
        _ => Error::Git(error),
    })?;
    let odb = repository.odb()?;
    let mut walk = Walk {
        repository,
        odb: &odb,
        limits,
        // The commit's own time: files served with a constant one would look unchanged to browsers.
        mtime: u64::try_from(commit.time().seconds()).unwrap_or(0),
        tar: Builder::new(Sink { to: writer, failed: false }),
        summary: Summary::default(),
        submodules: Vec::new(),
        pointers: Vec::new(),
    };
    walk.append(EntryType::Directory, 0o755, Path::new("./"), &[])?;
    walk.directory(&commit.tree()?, Path::new(""), 0)?;
    walk.finish()
}

struct Walk<'a, W: Write> {
    repository: &'a Repository,
    odb: &'a Odb<'a>,
    limits: &'a Limits,
    mtime: u64,
    tar: Builder<Sink<W>>,
    summary: Summary,
    submodules: Vec<String>,
    pointers: Vec<String>,
}

impl<'a, W: Write> Walk<'a, W> {
    fn directory(&mut self, tree: &Tree<'_>, at: &Path, depth: u32) -> Result<(), Error> {
        if depth > self.limits.max_depth {
            let text = format!("more than {} directories deep", self.limits.max_depth);
            return Err(Error::Limit(text));
        }
        let mut seen = HashSet::new();
        for entry in tree {
            let name = entry.name_bytes();
            let path = at.join(OsStr::from_bytes(name));
            if let Some(why) = name::objection(name) {
                return Err(refused(&path, why));
            }
            if !seen.insert(name.to_owned()) {
                return Err(refused(&path, "is there twice"));
            }
            if path.as_os_str().len() > MAX_PATH {
                return Err(Error::Limit(format!("a path of more than {MAX_PATH} bytes")));
            }
            self.summary.entries += 1;
            if self.summary.entries > self.limits.max_entries {
                return Err(Error::Limit(format!("more than {} entries", self.limits.max_entries)));
            }
            match entry.filemode_raw() {
                0o040_000 => {
                    self.append(EntryType::Directory, 0o755, &path, &[])?;
                    let below = self.repository.find_tree(entry.id())?;
                    self.directory(&below, &path, depth + 1)?;
                }
                // 0664 is what git wrote in its first years.
                0o100_644 | 0o100_664 => self.file(entry.id(), 0o644, &path)?,
                0o100_755 => self.file(entry.id(), 0o755, &path)?,
                0o120_000 => self.link(entry.id(), &path)?,
                0o160_000 => {
                    self.append(EntryType::Directory, 0o755, &path, &[])?;
                    self.submodules.push(printable(&path));
                }
                mode => return Err(refused(&path, format!("has mode {mode:o}"))),
            }
        }
        Ok(())
    }

    fn file(&mut self, blob: Oid, mode: u32, path: &Path) -> Result<(), Error> {
        let too_large = |most: u64| {
            Error::Limit(format!("`{}` is a file of more than {} MiB", printable(path), most >> 20))
        };
        let blob = self.blob(blob, path, self.limits.max_file_bytes, too_large)?;
        let data = blob.data();
        if data.len() < 1024 && data.starts_with(b"version https://git-lfs.github.com/spec/") {
            self.pointers.push(printable(path));
        }
        self.append(EntryType::Regular, mode, path, data)
    }

    fn link(&mut self, blob: Oid, path: &Path) -> Result<(), Error> {
        let too_long = |_| refused(path, "is a symbolic link with too long a target");
        let blob = self.blob(blob, path, MAX_PATH as u64, too_long)?;
        let target = blob.data();
        if target.is_empty() || target.contains(&0) {
            return Err(refused(path, "is a symbolic link to nothing"));
        }
        let mut header = self.header(EntryType::Symlink, 0o777, 0);
        let written = self.tar.append_link(&mut header, path, OsStr::from_bytes(target));
        self.written(path, written)
    }

    /// The content of a blob, whose size is counted before it is read: a small object may unpack to gigabytes.
    fn blob(
        &mut self,
        oid: Oid,
        path: &Path,
        most: u64,
        too_large: impl FnOnce(u64) -> Error,
    ) -> Result<OdbObject<'a>, Error> {
        let (size, kind) = self.odb.read_header(oid)?;
        if kind != ObjectType::Blob {
            return Err(refused(path, "is not a file"));
        }
        if size as u64 > most {
            return Err(too_large(most));
        }
        self.summary.bytes += size as u64;
        if self.summary.bytes > self.limits.max_bytes {
            let most = self.limits.max_bytes >> 20;
            return Err(Error::Limit(format!("more than {most} MiB of files")));
        }
        Ok(self.odb.read(oid)?)
    }

    fn append(&mut self, kind: EntryType, mode: u32, path: &Path, data: &[u8]) -> Result<(), Error> {
        let mut header = self.header(kind, mode, data.len() as u64);
        if kind == EntryType::Directory {
            let mut slashed = path.as_os_str().to_owned();
            if !slashed.as_bytes().ends_with(b"/") {
                slashed.push("/");
            }
            let written = self.tar.append_data(&mut header, PathBuf::from(slashed), data);
            return self.written(path, written);
        }
        let written = self.tar.append_data(&mut header, path, data);
        self.written(path, written)
    }

    /// Tells a writer that failed from a path that no archive can hold.
    fn written(&self, path: &Path, written: io::Result<()>) -> Result<(), Error> {
        written.map_err(|error| match self.tar.get_ref().failed {
            true => Error::Write(error),
            false => refused(path, "has a path that no archive can hold"),
        })
    }

    fn header(&self, kind: EntryType, mode: u32, size: u64) -> Header {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.mtime);
        header.set_size(size);
        header
    }

    fn finish(mut self) -> Result<Summary, Error> {
        self.tar.into_inner()?.flush()?;
        warn(&mut self.summary.warnings, &self.submodules, "is a submodule: its directory stays empty");
        warn(
            &mut self.summary.warnings,
            &self.pointers,
            "is a Git LFS pointer: the build gets the pointer, not the file",
        );
        Ok(self.summary)
    }
}

/// The writer, and whether it has failed.
struct Sink<W> {
    to: W,
    failed: bool,
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.to.write(data).inspect_err(|_| self.failed = true)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush().inspect_err(|_| self.failed = true)
    }
}

fn warn(warnings: &mut Vec<String>, paths: &[String], what: &str) {
    warnings.extend(paths.iter().take(MAX_WARNINGS).map(|path| format!("{path} {what}")));
    if paths.len() > MAX_WARNINGS {
        warnings.push(format!("… and so for {} more", paths.len() - MAX_WARNINGS));
    }
}

fn refused(path: &Path, why: impl Into<String>) -> Error {
    Error::Entry { path: printable(path), why: why.into() }
}

/// A path without what a terminal would act on, and not longer than a line.
fn printable(path: &Path) -> String {
    path.to_string_lossy().chars().take(200).map(|c| if c.is_control() { '?' } else { c }).collect()
}
