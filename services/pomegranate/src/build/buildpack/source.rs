//! The tar streams that fill a build's volumes: everything owned by the builder's user, nothing set-uid.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use tar::{Archive, Builder, EntryType, Header};

/// Who owns what is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) uid: u64,
    pub(crate) gid: u64,
}

/// Writes the part of the source at `tar` that is under `path` (empty: all) as `workspace/…`.
pub(crate) fn write_app(tar: &Path, path: &str, owner: Owner, to: impl Write) -> io::Result<()> {
    let mut builder = Builder::new(to);
    append_dir(&mut builder, "workspace", owner)?;
    let mut archive = Archive::new(File::open(tar)?);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        let Some(inside) = under(&name, path) else { continue };
        let mut header = Header::new_gnu();
        let kind = entry.header().entry_type();
        header.set_entry_type(kind);
        header.set_mode(entry.header().mode()? & 0o777);
        header.set_uid(owner.uid);
        header.set_gid(owner.gid);
        // As the exporter has it, so that an unchanged file makes an unchanged layer.
        header.set_mtime(315_532_801);
        let target = Path::new("workspace").join(inside);
        match kind {
            EntryType::Regular => {
                header.set_size(entry.size());
                builder.append_data(&mut header, target, &mut entry)?;
            }
            EntryType::Directory => {
                header.set_size(0);
                builder.append_data(&mut header, target, io::empty())?;
            }
            EntryType::Symlink => {
                header.set_size(0);
                let to = entry.link_name()?.unwrap_or_default().into_owned();
                builder.append_link(&mut header, target, to)?;
            }
            _ => {}
        }
    }
    builder.into_inner()?.flush()
}

/// Where the entry is below `path`, if it is.
fn under(name: &Path, path: &str) -> Option<PathBuf> {
    let name: PathBuf = name.components().filter(|part| part.as_os_str() != ".").collect();
    let inside = if path.is_empty() { name } else { name.strip_prefix(path).ok()?.to_path_buf() };
    (!inside.as_os_str().is_empty()).then_some(inside)
}

/// Empty volumes' roots and small files, as one tar.
pub(crate) struct Files {
    builder: Builder<Vec<u8>>,
    owner: Owner,
}

impl Files {
    /// None yet.
    pub(crate) fn new(owner: Owner) -> Self {
        Self { builder: Builder::new(Vec::new()), owner }
    }

    /// A directory, and with it the owner of the volume that is mounted there.
    pub(crate) fn dir(&mut self, name: &str) -> io::Result<()> {
        append_dir(&mut self.builder, name, self.owner)
    }

    /// A file.
    pub(crate) fn file(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_uid(self.owner.uid);
        header.set_gid(self.owner.gid);
        self.builder.append_data(&mut header, name, bytes)
    }

    /// The tar.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        self.builder.into_inner()
    }
}

fn append_dir(builder: &mut Builder<impl Write>, name: &str, owner: Owner) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Directory);
    header.set_mode(0o755);
    header.set_size(0);
    header.set_uid(owner.uid);
    header.set_gid(owner.gid);
    builder.append_data(&mut header, format!("{name}/"), io::empty())
}

/// The first entry of a tar, when it is a regular file of at most `limit` bytes.
pub(crate) fn first_file(tar: &[u8], limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut archive = Archive::new(tar);
    let Some(entry) = archive.entries()?.next() else { return Ok(None) };
    let mut entry = entry?;
    if entry.header().entry_type() != EntryType::Regular || entry.size() > limit {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_the_source_becomes_the_workspace() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut builder = Builder::new(file.reopen().expect("reopens"));
        for (name, kind, mode) in [
            ("web", EntryType::Directory, 0o755),
            ("web/app.py", EntryType::Regular, 0o4755),
            ("web/link", EntryType::Symlink, 0o777),
            ("webx/no", EntryType::Regular, 0o644),
            ("top", EntryType::Regular, 0o644),
        ] {
            let mut header = Header::new_ustar();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_size(0);
            if kind == EntryType::Symlink {
                builder.append_link(&mut header, name, "/etc/passwd").expect("appends");
            } else {
                builder.append_data(&mut header, name, io::empty()).expect("appends");
            }
        }
        builder.finish().expect("finishes");
        let mut out = Vec::new();
        write_app(file.path(), "web", Owner { uid: 7, gid: 8 }, &mut out).expect("writes");
        let mut archive = Archive::new(&out[..]);
        let seen: Vec<(String, u32, u64)> = archive
            .entries()
            .expect("entries")
            .map(|entry| {
                let entry = entry.expect("an entry");
                let header = entry.header();
                let name = entry.path().expect("a path").display().to_string();
                (name, header.mode().expect("a mode"), header.uid().expect("a uid"))
            })
            .collect();
        let names: Vec<&str> = seen.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["workspace/", "workspace/app.py", "workspace/link"]);
        assert!(seen.iter().all(|(_, mode, uid)| mode & 0o7000 == 0 && *uid == 7));
    }
}
