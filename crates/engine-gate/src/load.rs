//! The stream of `POST /images/load`, taken apart and written anew, so that nothing but one image of the expected
//! name can come out, whatever the two ends make of odd archives.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use tar::{Archive, Builder, EntryType, Header};

use crate::reference::{is_lower_hex, normal};

const MANIFEST: &str = "manifest.json";
/// A manifest or an image's configuration.
const TEXT_LIMIT: u64 = 8 << 20;
const ENTRIES_LIMIT: usize = 1000;
const PADDING_LIMIT: u64 = 1 << 20;

/// Why a load was cut off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It is not what the lifecycle writes.
    #[error("{0}")]
    Refused(String),
    /// One of the ends failed.
    #[error("the stream failed")]
    Io(#[from] io::Error),
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Manifest {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// Copies an archive of at most `limit` bytes of layers that loads exactly `target`.
pub(crate) fn copy(from: impl Read, to: impl Write, target: &str, limit: u64) -> Result<(), Error> {
    let mut archive = Archive::new(from);
    let mut builder = Builder::new(to);
    let (mut manifest, mut entries, mut bytes) = (None, 0, 0_u64);
    for entry in archive.entries()? {
        let mut entry = entry?;
        entries += 1;
        bytes = bytes.saturating_add(entry.size());
        if entries > ENTRIES_LIMIT || bytes > limit {
            return Err(refused("it is larger than an image may be"));
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if entry.header().entry_type() != EntryType::Regular {
            return Err(refused(format!("{name} is not a regular file")));
        }
        match kind(&name) {
            Some(Kind::Manifest) if manifest.is_none() && entry.size() <= TEXT_LIMIT => {
                let mut text = Vec::new();
                entry.read_to_end(&mut text)?;
                manifest = Some(checked(&text, target)?);
            }
            Some(Kind::Config) if entry.size() <= TEXT_LIMIT => append(&mut builder, &name, entry)?,
            Some(Kind::Blank) if entry.size() == 0 => append(&mut builder, &name, entry)?,
            Some(Kind::Layer) => append(&mut builder, &name, entry)?,
            _ => return Err(refused(format!("{name} does not belong there"))),
        }
    }
    // What is left is padding. Whoever sends it must get rid of it before an answer, or its connection breaks.
    let padding = io::copy(&mut archive.into_inner().take(PADDING_LIMIT), &mut io::sink())?;
    if padding == PADDING_LIMIT {
        return Err(refused("something follows its end"));
    }
    let manifest = manifest.ok_or_else(|| refused("it has no manifest"))?;
    append_bytes(&mut builder, MANIFEST, &manifest)?;
    builder.into_inner()?.flush()?;
    Ok(())
}

enum Kind {
    Manifest,
    Config,
    Blank,
    Layer,
}

fn kind(name: &str) -> Option<Kind> {
    let digest = |text: &str| text.len() == 64 && text.bytes().all(is_lower_hex);
    if name == MANIFEST {
        return Some(Kind::Manifest);
    }
    if name.strip_suffix(".json").is_some_and(digest) {
        return Some(Kind::Config);
    }
    if let Some(number) = name.strip_prefix("blank_") {
        let fits = (1..=4).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
        return fits.then_some(Kind::Blank);
    }
    let layer = name.strip_prefix('/').unwrap_or(name).strip_prefix("sha256:")?.strip_suffix(".tar")?;
    digest(layer).then_some(Kind::Layer)
}

/// One image, with one name: the target's.
fn checked(text: &[u8], target: &str) -> Result<Vec<u8>, Error> {
    let manifests: Vec<Manifest> = serde_json::from_slice(text)
        .map_err(|error| refused(format!("its manifest is malformed: {error}")))?;
    let [manifest] = &manifests[..] else { return Err(refused("it does not hold exactly one image")) };
    let [name] = &manifest.repo_tags[..] else { return Err(refused("its image has not exactly one name")) };
    if normal(name).is_none() || normal(name) != normal(target) {
        return Err(refused(format!("it names {name}, which is not this build's image")));
    }
    let layers = manifest.layers.iter();
    if !matches!(kind(&manifest.config), Some(Kind::Config))
        || layers.clone().any(|layer| !matches!(kind(layer), Some(Kind::Blank | Kind::Layer)))
    {
        return Err(refused("its manifest names files that do not belong there"));
    }
    let anew = Manifest {
        config: manifest.config.clone(),
        repo_tags: vec![target.to_owned()],
        layers: layers.map(|layer| relative(layer).to_owned()).collect(),
    };
    serde_json::to_vec(&[anew]).map_err(|error| refused(error.to_string()))
}

fn relative(name: &str) -> &str {
    name.strip_prefix('/').unwrap_or(name)
}

fn append(
    builder: &mut Builder<impl Write>,
    name: &str,
    mut entry: tar::Entry<'_, impl Read>,
) -> io::Result<()> {
    let mut header = header(entry.size());
    builder.append_data(&mut header, relative(name), &mut entry)
}

fn append_bytes(builder: &mut Builder<impl Write>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = header(bytes.len() as u64);
    builder.append_data(&mut header, name, bytes)
}

fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    header.set_mode(0o644);
    header
}

fn refused(why: impl Into<String>) -> Error {
    Error::Refused(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "pt-a/b:c";

    fn digest() -> String {
        "ab".repeat(32)
    }

    fn manifest(tags: &str) -> String {
        let digest = digest();
        format!(
            r#"[{{"Config":"{digest}.json","RepoTags":{tags},"Layers":["blank_0","/sha256:{digest}.tar"]}}]"#
        )
    }

    fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (name, kind, text) in entries {
            let mut header = header(text.len() as u64);
            header.set_entry_type(*kind);
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            if *kind == EntryType::Symlink {
                header.set_link_name_literal("manifest.json").unwrap();
            }
            header.set_cksum();
            builder.append(&header, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn whole(tags: &str) -> Vec<u8> {
        let digest = digest();
        archive(&[
            (&format!("{digest}.json"), EntryType::Regular, "{}"),
            ("blank_0", EntryType::Regular, ""),
            (&format!("/sha256:{digest}.tar"), EntryType::Regular, "layer"),
            ("manifest.json", EntryType::Regular, &manifest(tags)),
        ])
    }

    fn outcome(archive: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        copy(archive, &mut out, TARGET, 1 << 20).map(|()| out)
    }

    #[test]
    fn what_the_lifecycle_writes_passes_under_one_name() {
        let out = outcome(&whole(r#"["registry.example/pt-a/b:c"]"#)).unwrap();
        let mut names = Vec::new();
        let mut archive = Archive::new(&out[..]);
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            names.push((name, text));
        }
        assert_eq!(names[2], (format!("sha256:{}.tar", digest()), "layer".to_owned()));
        let (name, text) = &names[3];
        assert_eq!(name, MANIFEST);
        assert!(text.contains(r#""RepoTags":["pt-a/b:c"]"#) && text.contains(r#""sha256:"#), "{text}");
    }

    #[test]
    fn another_name_or_a_second_one_is_refused() {
        for tags in [r#"["pt-a/b:d"]"#, r#"["pt-a/b:c","pt-a/b:d"]"#, "[]", r#"["debian"]"#] {
            assert!(matches!(outcome(&whole(tags)), Err(Error::Refused(_))), "{tags}");
        }
    }

    #[test]
    fn entries_that_do_not_belong_there_are_refused() {
        let good = manifest(r#"["pt-a/b:c"]"#);
        for (name, kind, text) in [
            ("repositories", EntryType::Regular, "{}"),
            ("index.json", EntryType::Regular, "{}"),
            ("oci-layout", EntryType::Regular, "{}"),
            ("./manifest.json", EntryType::Regular, &*good),
            ("a/../manifest.json", EntryType::Regular, &*good),
            ("blank_1", EntryType::Symlink, ""),
            ("blank_1", EntryType::Regular, "not blank"),
            ("manifest.json", EntryType::Regular, &*good),
        ] {
            let entries = [("manifest.json", EntryType::Regular, &*good), (name, kind, text)];
            assert!(matches!(outcome(&archive(&entries)), Err(Error::Refused(_))), "{name}");
        }
    }

    #[test]
    fn the_padding_is_read_and_more_than_that_is_refused() {
        let mut padded = whole(r#"["pt-a/b:c"]"#);
        padded.extend([0; 20_000]);
        let mut reader = &padded[..];
        copy(&mut reader, Vec::new(), TARGET, 1 << 20).unwrap();
        assert!(reader.is_empty());
        padded.extend(vec![0; 2 << 20]);
        assert!(matches!(outcome(&padded), Err(Error::Refused(_))));
    }

    #[test]
    fn a_cut_or_overlong_archive_is_an_error() {
        let whole = whole(r#"["pt-a/b:c"]"#);
        assert!(outcome(&whole[..700]).is_err());
        assert!(outcome(&whole[..2048]).is_err());
        assert!(matches!(copy(&whole[..], Vec::new(), TARGET, 4), Err(Error::Refused(_))));
        assert!(matches!(outcome(&[]), Err(Error::Refused(_))));
    }
}
