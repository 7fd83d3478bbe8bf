//! The server's end of a hook's connection.

use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::{
    hook::protocol::{ToHook, ToServer},
    text,
};

/// The most log that one push is shown, in bytes.
const MAX_SHOWN: usize = 10 << 20;

/// The hook has gone, killed or lost: nobody can be told anything.
#[derive(Debug)]
pub(super) struct HookLost;

/// A connection to one hook.
pub(super) struct Conversation {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    shown: usize,
}

impl Conversation {
    pub(super) fn new(reader: OwnedReadHalf, writer: OwnedWriteHalf) -> Self {
        Self { reader, writer, shown: 0 }
    }

    /// Shows a text to the pusher, made safe for a terminal.
    pub(super) async fn say(&mut self, text: &str) -> Result<(), HookLost> {
        for line in text::lines(text) {
            self.tell(&ToHook::Line(line)).await?;
        }
        Ok(())
    }

    /// Shows each of these texts.
    pub(super) async fn say_all(&mut self, texts: &[String]) -> Result<(), HookLost> {
        for text in texts {
            self.say(text).await?;
        }
        Ok(())
    }

    /// Shows a line of a log, until there have been too many.
    pub(super) async fn log(&mut self, line: &str) -> Result<(), HookLost> {
        if self.shown > MAX_SHOWN {
            return Ok(());
        }
        self.shown += line.len();
        if self.shown > MAX_SHOWN {
            return self
                .say("… the log is too long to be shown here; `paastech operation --follow` shows all of it")
                .await;
        }
        self.say(line).await
    }

    /// Lets the hook exit.
    pub(super) async fn finish(&mut self, accepted: bool) -> Result<(), HookLost> {
        self.tell(&ToHook::Done { accepted }).await
    }

    pub(super) async fn tell(&mut self, message: &ToHook) -> Result<(), HookLost> {
        message.write(&mut self.writer).await.map_err(|_| HookLost)
    }

    /// The hook's next message. Not to be dropped half-way.
    pub(super) async fn hear(&mut self) -> Result<ToServer, HookLost> {
        ToServer::read(&mut self.reader).await.map_err(|_| HookLost)
    }

    /// Resolves when the hook is lost; only for when it has nothing to say.
    pub(super) async fn lost(&mut self) -> HookLost {
        let would_block = std::io::ErrorKind::WouldBlock;
        loop {
            // Readiness may be left over from what was heard before: only a read tells.
            drop(self.reader.readable().await);
            if !self.reader.try_read(&mut [0]).is_err_and(|error| error.kind() == would_block) {
                return HookLost;
            }
        }
    }
}
