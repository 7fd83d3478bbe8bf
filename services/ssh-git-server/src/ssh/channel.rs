//! One channel: what the client does on it, and what we send back. Requests are answered where they arrive, in the
//! handler: an answer that comes later would be taken for the answer to a later request.

use bytes::Bytes;
use russh::{Channel as RawChannel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, server::Msg};

/// What a client does on a channel.
#[derive(Debug)]
pub(crate) enum Event {
    /// Wants an environment variable set.
    Env { name: String, value: String },
    /// Wants a shell.
    Shell,
    /// Wants a command run.
    Exec(Vec<u8>),
    /// Sent bytes.
    Data(Bytes),
    /// Will send no more.
    Eof,
    /// Has gone.
    Gone,
}

/// The stream of events of a channel. It must be read without end, or the whole connection stalls.
pub(crate) struct Events(ChannelReadHalf);

/// The way back.
pub(crate) struct Writer(ChannelWriteHalf<Msg>);

/// The client has gone.
#[derive(Debug)]
pub(crate) struct Gone;

/// Both halves of a new channel.
pub(super) fn split(channel: RawChannel<Msg>) -> (Events, Writer) {
    let (read, write) = channel.split();
    (Events(read), Writer(write))
}

impl Events {
    /// The next event; [`Event::Gone`] again and again at the end.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            return match self.0.wait().await {
                None | Some(ChannelMsg::Close) => Event::Gone,
                Some(ChannelMsg::Data { data }) => Event::Data(data),
                Some(ChannelMsg::Eof) => Event::Eof,
                Some(ChannelMsg::Exec { command, .. }) => Event::Exec(command),
                Some(ChannelMsg::RequestShell { .. }) => Event::Shell,
                Some(ChannelMsg::SetEnv { variable_name, variable_value, .. }) => {
                    Event::Env { name: variable_name, value: variable_value }
                }
                Some(_) => continue,
            };
        }
    }

    /// Waits for `work`, or for the client's going; whatever else the client does is read and dropped.
    pub(crate) async fn ignore_during(&mut self, work: impl Future) {
        let gone = async { while !matches!(self.next().await, Event::Gone) {} };
        tokio::select! {
            _ = work => {}
            () = gone => {}
        }
    }
}

impl Writer {
    /// Waits for the client's window: not to be awaited without an eye on the events.
    pub(crate) async fn stdout(&self, data: Bytes) -> Result<(), Gone> {
        self.0.data_bytes(data).await.map_err(|_| Gone)
    }

    /// As [`Self::stdout`], for the other stream.
    pub(crate) async fn stderr(&self, data: Bytes) -> Result<(), Gone> {
        self.0.extended_data_bytes(1, data).await.map_err(|_| Gone)
    }

    /// Ends the channel in the order that clients expect.
    pub(crate) async fn exit(&self, status: u32) {
        drop(self.0.exit_status(status).await);
        drop(self.0.eof().await);
        drop(self.0.close().await);
    }
}
