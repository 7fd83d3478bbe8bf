//! A stream of bytes as messages.

use std::io::{self, Write};

use bytes::Bytes;

/// The most that one message holds.
pub const CHUNK: usize = 64 * 1024;

/// Cuts what is written into messages, each handed to `send`; the last one by a flush: what is not flushed is lost.
pub struct Chunks<F> {
    send: F,
    buffer: Vec<u8>,
}

impl<F: FnMut(Bytes) -> io::Result<()>> Chunks<F> {
    /// Nothing is written yet.
    pub fn new(send: F) -> Self {
        Self { send, buffer: Vec::with_capacity(CHUNK) }
    }
}

impl<F: FnMut(Bytes) -> io::Result<()>> Write for Chunks<F> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = data.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&data[..taken]);
        if self.buffer.len() == CHUNK {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        (self.send)(Bytes::from(full))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn what_is_written_goes_in_full_messages_and_the_rest_by_a_flush() {
        for (bytes, full, flushed) in [
            (0, &[][..], &[][..]),
            (5, &[], &[5]),
            (2 * CHUNK, &[CHUNK, CHUNK], &[CHUNK, CHUNK]),
            (CHUNK + 5, &[CHUNK], &[CHUNK, 5]),
        ] {
            let sent = RefCell::new(Vec::new());
            let mut chunks = Chunks::new(|message: Bytes| {
                sent.borrow_mut().push(message.len());
                Ok(())
            });
            chunks.write_all(&vec![7; bytes]).expect("taken");
            assert_eq!(*sent.borrow(), full, "{bytes}, not flushed");
            for _ in 0..2 {
                chunks.flush().expect("taken");
                assert_eq!(*sent.borrow(), flushed, "{bytes}, flushed");
            }
        }
    }
}
