//! `Logs`: what containers printed, as clean lines with their times.

use std::time::Duration;

use bollard::{container::LogOutput, query_parameters::LogsOptions};
use futures_util::{Stream, StreamExt as _, stream};
use paastech_proto::pomegranate::{LogLine, LogsResponse};

use crate::{
    engine::{Engine, Owned},
    error::Error,
    lines::Framer,
    status::instant_ms,
};

const LINE_LIMIT: usize = 8 << 10;
const LAST_LINE_LIMIT: usize = 1 << 10;
/// The engine may keep a stream open for a container that has just ended.
const LAST_LINES_DEADLINE: Duration = Duration::from_secs(5);

/// Which lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// The last so many of each container; 0 = all.
    pub(crate) tail: u32,
    /// None before this time.
    pub(crate) since_ms: i64,
    /// Wait for more.
    pub(crate) follow: bool,
}

/// The lines of one container.
pub(crate) async fn lines(
    engine: &Engine,
    container: &Owned,
    wanted: Wanted,
    limit: usize,
) -> Result<impl Stream<Item = LogsResponse> + Send + use<>, Error> {
    let options = LogsOptions {
        follow: wanted.follow,
        stdout: true,
        stderr: true,
        since: i32::try_from(wanted.since_ms / 1000).unwrap_or_default(),
        timestamps: true,
        tail: if wanted.tail == 0 { "all".to_owned() } else { wanted.tail.to_string() },
        ..LogsOptions::default()
    };
    let name = container.name();
    let docker = engine.docker().await?.clone();
    let id = container.id.clone();
    let pieces = docker.logs(&id, Some(options));
    let mut streams = [Reader::new("stdout", name.clone(), limit), Reader::new("stderr", name, limit)];
    let since_ms = wanted.since_ms;
    Ok(pieces
        .take_while(|piece| std::future::ready(piece.is_ok()))
        .map(Some)
        .chain(stream::once(std::future::ready(None)))
        .flat_map(move |piece| {
            let lines = match piece {
                Some(Ok(LogOutput::StdErr { message })) => streams[1].push(&message),
                Some(Ok(other)) => streams[0].push(&other.into_bytes()),
                Some(Err(_)) => Vec::new(),
                None => streams.iter_mut().filter_map(Reader::finish).collect(),
            };
            stream::iter(lines)
        })
        .filter(move |line| std::future::ready(line.at_ms >= since_ms)))
}

/// The last lines that a container printed.
pub(crate) async fn last_lines(engine: &Engine, id: &str, tail: u32) -> Result<Vec<LogLine>, Error> {
    let options = LogsOptions {
        stdout: true,
        stderr: true,
        timestamps: true,
        tail: tail.to_string(),
        ..LogsOptions::default()
    };
    let mut reader = Reader::new("", String::new(), LAST_LINE_LIMIT);
    let mut found = Vec::new();
    let mut pieces = engine.docker().await?.logs(id, Some(options));
    let read = async {
        while let Some(Ok(piece)) = pieces.next().await {
            found.extend(reader.push(&piece.into_bytes()));
        }
    };
    // Late is as good as none: the lines are a help for people.
    let _ = tokio::time::timeout(LAST_LINES_DEADLINE, read).await;
    found.extend(reader.finish());
    Ok(found
        .into_iter()
        .zip(1..)
        .map(|(line, seq)| LogLine { seq, at_ms: line.at_ms, text: line.text })
        .collect())
}

/// Makes lines of the engine's pieces, each of which begins with a time.
struct Reader {
    stream: &'static str,
    container: String,
    framer: Framer,
    at_ms: i64,
}

impl Reader {
    fn new(stream: &'static str, container: String, limit: usize) -> Self {
        Self { stream, container, framer: Framer::new(limit), at_ms: 0 }
    }

    fn push(&mut self, piece: &[u8]) -> Vec<LogsResponse> {
        let space = piece.iter().position(|byte| *byte == b' ').unwrap_or(0);
        let stamp = std::str::from_utf8(&piece[..space]).ok().and_then(instant_ms);
        let text = match stamp {
            Some(at_ms) => {
                self.at_ms = at_ms;
                &piece[space + 1..]
            }
            None => piece,
        };
        self.framer.push(text).into_iter().map(|text| self.line(text)).collect()
    }

    fn finish(&mut self) -> Option<LogsResponse> {
        self.framer.finish().map(|text| self.line(text))
    }

    fn line(&self, text: String) -> LogsResponse {
        LogsResponse {
            container: self.container.clone(),
            stream: self.stream.to_owned(),
            at_ms: self.at_ms,
            text,
        }
    }
}

/// The longest line that `Logs` gives.
pub(crate) const LIMIT: usize = LINE_LIMIT;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_begins_with_its_time() {
        let mut reader = Reader::new("stdout", "web.1".to_owned(), 1024);
        let lines = reader.push(b"2026-11-22T13:42:17.123456789Z hello world\n");
        assert_eq!((lines[0].at_ms, lines[0].text.as_str()), (1_795_354_937_123, "hello world"));
        assert!(reader.push(b"2026-11-22T13:42:18Z half").is_empty());
        assert_eq!(reader.push(b"2026-11-22T13:42:18.5Z  a line\n")[0].text, "half a line");
    }
}
