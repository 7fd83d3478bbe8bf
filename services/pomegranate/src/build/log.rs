//! A build's log: lines with numbers, kept for all who follow. Nobody who reads slowly holds the build back.

use std::sync::{Mutex, PoisonError};

use paastech_proto::pomegranate::LogLine;
use paastech_runtime::Clock;
use tokio::sync::watch;

use crate::lines::clean_line;

/// The longest line.
pub(crate) const LINE_LIMIT: usize = 1 << 10;
/// What a line costs beside its text.
const LINE_COST: usize = 64;
/// Lines handed out at a time.
const BATCH: usize = 256;

/// The lines so far.
pub(crate) struct Log {
    clock: Clock,
    limit: usize,
    kept: Mutex<Kept>,
    count: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    lines: Vec<LogLine>,
    bytes: usize,
    full: bool,
}

impl Log {
    /// An empty one that keeps at most `limit` bytes.
    pub(crate) fn new(clock: Clock, limit: usize) -> Self {
        Self { clock, limit, kept: Mutex::default(), count: watch::Sender::new(0) }
    }

    /// Adds a line, already clean. When the log is full, one line says so and the rest is dropped.
    pub(crate) fn push(&self, text: String) {
        self.append(text, false);
    }

    /// Adds a line of ours, which is kept even when the log is full.
    pub(crate) fn say(&self, text: &str) {
        self.append(clean_line(text, LINE_LIMIT), true);
    }

    fn append(&self, text: String, even_when_full: bool) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.full && !even_when_full {
            return;
        }
        kept.bytes += text.len() + LINE_COST;
        let text = if kept.bytes > self.limit && !kept.full && !even_when_full {
            kept.full = true;
            format!(" !     the log is longer than {} KiB: the rest is not kept", self.limit >> 10)
        } else {
            text
        };
        let seq = kept.lines.len() as u64 + 1;
        kept.lines.push(LogLine { seq, at_ms: self.clock.now_ms(), text });
        drop(kept);
        self.count.send_replace(seq);
    }

    /// Some lines from this number on; none when there are none yet.
    pub(crate) fn from(&self, seq: u64) -> Vec<LogLine> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(seq.saturating_sub(1)).unwrap_or(usize::MAX).min(kept.lines.len());
        kept.lines[start..].iter().take(BATCH).cloned().collect()
    }

    /// The number of the last line, whenever it changes.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_holes() {
        let log = Log::new(Clock::manual(7), 1 << 20);
        for text in ["a", "b", "c"] {
            log.push(text.to_owned());
        }
        let lines: Vec<(u64, String)> = log.from(2).into_iter().map(|line| (line.seq, line.text)).collect();
        assert_eq!(lines, [(2, "b".to_owned()), (3, "c".to_owned())]);
        assert_eq!(log.from(0).len(), 3);
        assert!(log.from(4).is_empty());
    }

    #[test]
    fn a_full_log_says_so_once_and_still_takes_our_last_word() {
        let log = Log::new(Clock::manual(0), 1000);
        for _ in 0..100 {
            log.push("x".repeat(100));
        }
        log.say("the end");
        let lines = log.from(1);
        assert_eq!(lines.iter().filter(|line| line.text.contains("not kept")).count(), 1);
        assert!(lines.len() < 10);
        assert_eq!(lines.last().expect("lines").text, "the end");
    }
}
