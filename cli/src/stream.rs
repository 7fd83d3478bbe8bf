//! JSON lines of an answer that does not end yet.

use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use reqwest::Response;
use serde_json::Value;

use crate::error::{Error, Result};

/// A longer line is not one of ours.
const LONGEST: usize = 4 << 20;

/// The lines, as they come.
pub(crate) struct Lines {
    chunks: BoxStream<'static, reqwest::Result<Vec<u8>>>,
    api: String,
    splitter: Splitter,
}

impl Lines {
    pub(crate) fn new(api: &str, response: Response) -> Self {
        let chunks = response.bytes_stream().map_ok(|bytes| bytes.to_vec()).boxed();
        Self { chunks, api: api.to_owned(), splitter: Splitter::default() }
    }

    /// The next line; none when the stream has ended whole.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(line) = self.splitter.pop() {
                return Ok(Some(line));
            }
            let Some(chunk) = self.chunks.next().await else { return Ok(None) };
            let chunk = chunk.map_err(|_| self.lost("the connection was lost"))?;
            self.splitter.push(&chunk).ok_or_else(|| self.lost("it sends a line without end"))?;
        }
    }

    fn lost(&self, reason: &str) -> Error {
        Error::Unreachable { api: self.api.clone(), reason: reason.to_owned() }
    }
}

#[derive(Default)]
struct Splitter {
    buffer: Vec<u8>,
}

impl Splitter {
    fn push(&mut self, chunk: &[u8]) -> Option<()> {
        self.buffer.extend_from_slice(chunk);
        (self.buffer.len() <= LONGEST).then_some(())
    }

    /// The first whole line that is JSON; blank ones only keep the connection open.
    fn pop(&mut self) -> Option<Value> {
        loop {
            let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            if let Ok(value) = serde_json::from_slice(&line) {
                return Some(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_may_come_in_pieces_and_pieces_may_hold_many() {
        let mut splitter = Splitter::default();
        splitter.push(b"{\"seq\":").unwrap();
        assert_eq!(splitter.pop(), None);
        splitter.push(b"1}\n\n{\"seq\":2}\r\n{\"se").unwrap();
        assert_eq!(splitter.pop(), Some(json!({"seq": 1})));
        assert_eq!(splitter.pop(), Some(json!({"seq": 2})));
        assert_eq!(splitter.pop(), None);
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let mut splitter = Splitter::default();
        assert!(splitter.push(&vec![b'x'; LONGEST + 1]).is_none());
    }
}
