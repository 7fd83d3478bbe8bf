//! Checks the Dockerfile inside a source before BuildKit sees it, and makes the stream that BuildKit reads.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio_util::io::ReaderStream;

use crate::build::add::fetching_add;

/// A Dockerfile larger than this is none.
const DOCKERFILE_LIMIT: u64 = 1 << 20;
/// `syntax` becomes this: a directive that nobody knows, of the same length.
const NEUTRAL: &[u8; 6] = b"ignore";

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// It can be built.
    Fine,
    /// It cannot, and this is what to tell its author.
    Refused(String),
}

/// Finds the Dockerfile in the tar at `source`. A `# syntax=` line that names the usual frontend is made harmless in
/// place, since naming one would fetch it from a registry; any other frontend is refused: it would be foreign code.
pub(crate) fn check(source: &Path, dockerfile: &str) -> io::Result<Checked> {
    let mut found = None;
    let mut archive = tar::Archive::new(File::open(source)?);
    for entry in archive.entries_with_seek()? {
        let mut entry = entry?;
        let path = entry.path_bytes();
        let parts = || path.split(|byte| *byte == b'/').filter(|part| !matches!(part, [] | [b'.']));
        if path.starts_with(b"/") || parts().any(|part| part == b"..") {
            return Ok(Checked::Refused("the source holds a path that leads out of it".to_owned()));
        }
        if !parts().eq(dockerfile.as_bytes().split(|byte| *byte == b'/')) {
            continue;
        }
        if !entry.header().entry_type().is_file() {
            return Ok(Checked::Refused(format!("{dockerfile} is not a regular file")));
        }
        if entry.size() > DOCKERFILE_LIMIT {
            return Ok(Checked::Refused(format!("{dockerfile} is larger than 1 MiB")));
        }
        let offset = entry.raw_file_position();
        let mut text = Vec::new();
        entry.read_to_end(&mut text)?;
        found = Some((offset, text));
    }
    let Some((offset, text)) = found else { return Ok(Checked::Refused(missing(dockerfile))) };
    if let Some(line) = fetching_add(&String::from_utf8_lossy(&text)) {
        return Ok(Checked::Refused(format!(
            "{dockerfile}, line {line}: ADD cannot fetch an address, nor take a variable for its source: fetch it in a \
             RUN step instead"
        )));
    }
    if is_json(&text) {
        return Ok(Checked::Refused(format!("{dockerfile} is not in the Dockerfile format")));
    }
    let mut file = File::options().write(true).open(source)?;
    for syntax in syntax_directives(&text) {
        if !is_usual_frontend(&syntax.value) {
            return Ok(Checked::Refused(format!(
                "{dockerfile} asks for the frontend \"{}\": only docker/dockerfile can be used",
                syntax.value
            )));
        }
        file.seek(SeekFrom::Start(offset + syntax.keyword_at as u64))?;
        file.write_all(NEUTRAL)?;
    }
    file.flush()?;
    Ok(Checked::Fine)
}

fn missing(dockerfile: &str) -> String {
    if dockerfile == "Dockerfile" {
        "no Dockerfile at the root of the repository: add one that builds your app".to_owned()
    } else {
        format!("no {dockerfile} in the repository")
    }
}

struct Syntax {
    keyword_at: usize,
    value: String,
}

/// Whether it begins, after comments, as JSON does: BuildKit takes a frontend's name from that as well.
fn is_json(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim_start);
    let said = |line: &&str| !line.is_empty() && !line.starts_with('#') && !line.starts_with("//");
    lines.find(said).is_some_and(|line| line.starts_with('{'))
}

/// Every `# syntax = …` (or `// syntax = …`) among the comments at the top, more generously than BuildKit reads them.
fn syntax_directives(text: &[u8]) -> Vec<Syntax> {
    let mut found = Vec::new();
    let mut start = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    for line in text[start..].split_inclusive(|byte| *byte == b'\n') {
        let indent = blanks(line);
        let mark = match &line[indent..] {
            [b'#', ..] => 1,
            [b'/', b'/', ..] => 2,
            [] => 0,
            _ => break,
        };
        let after = indent + mark;
        let keyword = after + blanks(&line[after..]);
        let rest = &line[keyword..];
        if mark > 0 && rest.len() > NEUTRAL.len() && rest[..6].eq_ignore_ascii_case(b"syntax") {
            let value = String::from_utf8_lossy(&rest[6..]);
            if let Some(value) = value.trim().strip_prefix('=') {
                found.push(Syntax { keyword_at: start + keyword, value: value.trim().to_owned() });
            }
        }
        start += line.len();
    }
    found
}

/// The length of the blanks at the beginning, those that are not ASCII among them.
fn blanks(line: &[u8]) -> usize {
    let text = line.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    text.len() - text.trim_start().len()
}

fn is_usual_frontend(value: &str) -> bool {
    value
        .strip_prefix("docker/dockerfile")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(':') || rest.starts_with('@'))
}

/// The tar that BuildKit reads: the source behind a short plain entry. Engine 20.10 takes a tar whose first entry
/// has an extended header for a Dockerfile.
pub(crate) async fn stream(
    source: &Path,
) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_path("./")?;
    header.set_mode(0o755);
    header.set_size(0);
    header.set_cksum();
    let first = Bytes::copy_from_slice(header.as_bytes());
    let file = tokio::fs::File::open(source).await?;
    Ok(stream::iter([Ok(first)]).chain(ReaderStream::with_capacity(file, 64 << 10)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(entries: &[(&str, &str)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut archive = tar::Builder::new(file.reopen().expect("reopens"));
        for (name, text) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, text.as_bytes()).expect("appends");
        }
        archive.finish().expect("finishes");
        file
    }

    fn text_of(file: &tempfile::NamedTempFile) -> String {
        let mut archive = tar::Archive::new(file.reopen().expect("reopens"));
        let mut text = String::new();
        let mut entry = archive.entries().expect("entries").next().expect("one").expect("readable");
        entry.read_to_string(&mut text).expect("text");
        text
    }

    #[test]
    fn without_a_dockerfile_it_says_what_to_add() {
        let file = source(&[("app/Dockerfile", "FROM x")]);
        let Ok(Checked::Refused(why)) = check(file.path(), "Dockerfile") else { panic!("refused") };
        assert!(why.starts_with("no Dockerfile at the root of the repository"), "{why}");
        assert_eq!(check(file.path(), "app/Dockerfile").expect("reads"), Checked::Fine);
    }

    #[test]
    fn a_path_by_another_spelling_is_no_way_around() {
        let file = source(&[("././/Dockerfile", "# syntax=evil\nFROM x")]);
        assert!(
            matches!(check(file.path(), "Dockerfile"), Ok(Checked::Refused(why)) if why.contains("evil"))
        );
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..15].copy_from_slice(b"x/../Dockerfile");
        header.set_size(0);
        header.set_cksum();
        let mut archive = tar::Builder::new(file.reopen().expect("reopens"));
        archive.append(&header, std::io::empty()).expect("appends");
        archive.finish().expect("finishes");
        assert!(
            matches!(check(file.path(), "Dockerfile"), Ok(Checked::Refused(why)) if why.contains("leads out"))
        );
    }

    #[test]
    fn the_usual_frontend_is_made_harmless_in_place() {
        let file = source(&[("Dockerfile", "#  Syntax = docker/dockerfile:1.4\n# escape=`\nFROM x\n")]);
        assert_eq!(check(file.path(), "Dockerfile").expect("reads"), Checked::Fine);
        assert_eq!(text_of(&file), "#  ignore = docker/dockerfile:1.4\n# escape=`\nFROM x\n");
    }

    #[test]
    fn another_frontend_is_refused() {
        for text in [
            "# syntax=evil/frontend\nFROM x",
            "\u{feff}# syntax=docker/dockerfile-upstream:master\nFROM x",
            "#!/x\n# escape=`\n#syntax=evil\nFROM x",
            "// syntax=evil\nFROM x",
            "\n# hello\n# SYNTAX=evil\nFROM x",
            "\u{a0}#\u{2003}syntax=evil\nFROM x",
            "#\u{85}syntax = evil\nFROM x",
            "{\"syntax\":\"evil/frontend\"}",
            "#!/x\n// y\n  {\n\"syntax\":\"evil\"}",
            "\u{feff}\u{a0}{\"syntax\":\"evil\"}",
        ] {
            let file = source(&[("Dockerfile", text)]);
            let outcome = check(file.path(), "Dockerfile").expect("reads");
            assert!(matches!(outcome, Checked::Refused(_)), "{text:?}");
        }
    }

    #[test]
    fn a_comment_below_the_first_instruction_is_no_directive() {
        let file = source(&[("Dockerfile", "FROM x\n# syntax=evil\n")]);
        assert_eq!(check(file.path(), "Dockerfile").expect("reads"), Checked::Fine);
    }

    #[tokio::test]
    async fn the_stream_begins_with_a_short_plain_entry() {
        let file = source(&[("Dockerfile", "FROM x")]);
        let chunks: Vec<Bytes> =
            stream(file.path()).await.expect("opens").map(|chunk| chunk.expect("reads")).collect().await;
        let bytes = chunks.concat();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let names: Vec<String> = archive
            .entries()
            .expect("entries")
            .map(|entry| entry.expect("readable").path().expect("a path").display().to_string())
            .collect();
        assert_eq!(names, ["./", "Dockerfile"]);
    }
}
