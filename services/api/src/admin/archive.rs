//! The file of a backup: a tar of regular files whose names are all known beforehand, and a manifest with their sums as
//! its last entry. Nothing is ever unpacked by its name.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, Read, Seek as _, SeekFrom, Write},
};

use anyhow::{Context as _, Result, bail, ensure};
use paastech_types::{OperationId, ProjectId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tar::{Archive, Builder, EntryType, Header};

use crate::store::dump;

/// Of this file; a newer one is not read.
const FORMAT: u32 = 1;
/// A manifest has one line for each project and log.
const MAX_MANIFEST: u64 = 256 << 20;
/// The secrets that a backup may hold.
pub(super) const SECRETS: [&str; 6] = ["instance", "jwt", "kek", "kek-old", "label-hmac", HOST_KEY];
/// The SSH server's.
pub(super) const HOST_KEY: &str = "ssh-host-key";

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// The rows of a table, as JSON lines.
    Table(&'static str),
    /// A git bundle; empty for a repository without refs.
    Repository(ProjectId),
    /// The log of an operation, as JSON lines.
    Log(OperationId),
    /// A secret's text.
    Secret(&'static str),
    /// The manifest.
    Manifest,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(table) => write!(f, "database/{table}.jsonl"),
            Self::Repository(id) => write!(f, "repositories/{id}.bundle"),
            Self::Log(id) => write!(f, "logs/{id}.jsonl"),
            Self::Secret(name) => write!(f, "secrets/{name}"),
            Self::Manifest => f.write_str("manifest.json"),
        }
    }
}

impl Name {
    fn parse(text: &str) -> Option<Self> {
        if text == "manifest.json" {
            return Some(Self::Manifest);
        }
        let (folder, file) = text.split_once('/')?;
        let known = |names: &[&'static str], name: &str| names.iter().copied().find(|known| *known == name);
        match folder {
            "database" => known(&dump::TABLES, file.strip_suffix(".jsonl")?).map(Self::Table),
            "repositories" => file.strip_suffix(".bundle")?.parse().ok().map(Self::Repository),
            "logs" => file.strip_suffix(".jsonl")?.parse().ok().map(Self::Log),
            "secrets" => known(&SECRETS, file).map(Self::Secret),
            _ => None,
        }
    }
}

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    format: u32,
    /// The program that made it.
    pub(super) paastech: String,
    /// The newest migration of its database.
    pub(super) schema: i64,
    /// When its database was read, in milliseconds since 1970.
    pub(super) taken_at: i64,
    /// The installation's id.
    pub(super) instance: String,
    entries: BTreeMap<String, Sum>,
}

/// What one entry must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sum {
    bytes: u64,
    sha256: String,
}

/// Writes an archive, entry by entry.
pub(super) struct Writer<W: Write> {
    tar: Builder<W>,
    manifest: Manifest,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(to: W, schema: i64, taken_at: i64, instance: String) -> Self {
        let paastech = env!("CARGO_PKG_VERSION").to_owned();
        let manifest =
            Manifest { format: FORMAT, paastech, schema, taken_at, instance, entries: BTreeMap::new() };
        Self { tar: Builder::new(to), manifest }
    }

    /// Adds all of a file.
    pub(super) fn add(&mut self, name: Name, mut file: File) -> Result<()> {
        file.rewind()?;
        let bytes = file.metadata()?.len();
        let mut sums = Summing { from: file, digest: Sha256::new() };
        self.append(name, bytes, &mut sums)?;
        let sum = Sum { bytes, sha256: hex::encode(sums.digest.finalize()) };
        self.manifest.entries.insert(name.to_string(), sum);
        Ok(())
    }

    /// Ends it; what was written to.
    pub(super) fn finish(mut self) -> Result<W> {
        let text = serde_json::to_vec_pretty(&self.manifest)?;
        self.append(Name::Manifest, text.len() as u64, text.as_slice())?;
        let mut to = self.tar.into_inner()?;
        to.flush()?;
        Ok(to)
    }

    fn append(&mut self, name: Name, bytes: u64, from: impl Read) -> Result<()> {
        let mut header = Header::new_ustar();
        header.set_path(name.to_string())?;
        header.set_entry_type(EntryType::Regular);
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(self.manifest.taken_at / 1000).unwrap_or(0));
        header.set_cksum();
        self.tar.append(&header, from).with_context(|| format!("{name} cannot be written to the backup"))
    }
}

/// Sums what is read.
struct Summing<R> {
    from: R,
    digest: Sha256,
}

impl<R: Read> Read for Summing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.digest.update(&buffer[..read]);
        Ok(read)
    }
}

/// An archive that is whole, and what is where in it.
pub(super) struct Checked {
    file: File,
    pub(super) manifest: Manifest,
    /// From which byte on, and how many.
    places: BTreeMap<Name, (u64, u64)>,
}

impl Checked {
    /// Reads all of it once.
    ///
    /// # Errors
    /// It is cut off, changed, or holds what no backup does.
    pub(super) fn open(file: File) -> Result<Self> {
        let mut archive = Archive::new(&file);
        let (mut places, mut sums, mut manifest) = (BTreeMap::new(), BTreeMap::new(), None);
        for entry in archive.entries()?.raw(true) {
            let mut entry = entry.context("it is no backup, or cut off")?;
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = Name::parse(&path).filter(|_| entry.header().entry_type() == EntryType::Regular);
            let Some(name) = name else { bail!("it holds {path:?}, which no backup does") };
            let place = (entry.raw_file_position(), entry.size());
            ensure!(places.insert(name, place).is_none(), "it holds {name} twice");
            ensure!(manifest.is_none(), "it holds {name} behind its end");
            if name == Name::Manifest {
                ensure!(place.1 <= MAX_MANIFEST, "its manifest is too long");
                let mut text = Vec::new();
                entry.read_to_end(&mut text).context("it is cut off")?;
                ensure!(text.len() as u64 == place.1, "it is cut off");
                manifest = Some(read_manifest(&text)?);
                continue;
            }
            let mut content = Summing { from: &mut entry, digest: Sha256::new() };
            let bytes = io::copy(&mut content, &mut io::sink()).context("it is cut off")?;
            ensure!(bytes == place.1, "it is cut off");
            sums.insert(name.to_string(), Sum { bytes, sha256: hex::encode(content.digest.finalize()) });
        }
        let manifest = manifest.context("it is cut off: its manifest is missing")?;
        for name in sums.keys().chain(manifest.entries.keys()) {
            ensure!(sums.get(name) == manifest.entries.get(name), "{name} is not as its manifest says");
        }
        places.remove(&Name::Manifest);
        Ok(Self { file, manifest, places })
    }

    /// What it holds.
    pub(super) fn names(&self) -> impl Iterator<Item = Name> {
        self.places.keys().copied()
    }

    /// An entry, from its first byte on.
    pub(super) fn get(&self, name: Name) -> Result<Option<io::Take<File>>> {
        let Some((start, bytes)) = self.places.get(&name) else { return Ok(None) };
        // Clones share their place in the file: one is read at a time.
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(*start))?;
        Ok(Some(file.take(*bytes)))
    }
}

fn read_manifest(text: &[u8]) -> Result<Manifest> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let found: Format = serde_json::from_slice(text).context("its manifest cannot be read")?;
    let format = found.format;
    ensure!(format <= FORMAT, "it was made by a newer PaaSTech (format {format}): upgrade this one first");
    serde_json::from_slice(text).context("its manifest cannot be read")
}
