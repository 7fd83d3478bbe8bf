//! One channel: what the client does on it, and what we send back.

use bytes::Bytes;
use russh::{
    Channel as RawChannel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf,
    server::{Handle, Msg},
};

/// What a client does on a channel.
#[derive(Debug)]
pub(crate) enum Event {
    /// Wants an environment variable set. To be answered.
    Env { name: String, value: String },
    /// Wants a terminal. To be answered.
    Pty,
    /// Wants a shell. To be answered.
    Shell,
    /// Wants a command run. To be answered.
    Exec(Vec<u8>),
    /// Wants something that we do not have. To be answered.
    Unsupported,
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
pub(crate) struct Writer {
    half: ChannelWriteHalf<Msg>,
    handle: Handle,
}

/// The client has gone.
#[derive(Debug)]
pub(crate) struct Gone;

/// Both halves of a new channel.
pub(super) fn split(channel: RawChannel<Msg>, handle: Handle) -> (Events, Writer) {
    let (read, half) = channel.split();
    (Events(read), Writer { half, handle })
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
                Some(ChannelMsg::RequestPty { .. }) => Event::Pty,
                Some(ChannelMsg::SetEnv { variable_name, variable_value, .. }) => {
                    Event::Env { name: variable_name, value: variable_value }
                }
                Some(ChannelMsg::RequestSubsystem { .. } | ChannelMsg::RequestX11 { .. }) => {
                    Event::Unsupported
                }
                // Agent forwarding is refused by the library itself; the rest wants no answer.
                Some(_) => continue,
            };
        }
    }
}

impl Writer {
    /// Grants the last request.
    pub(crate) async fn grant(&self) {
        self.handle.channel_success(self.half.id()).await.ok();
    }

    /// Refuses the last request.
    pub(crate) async fn refuse(&self) {
        self.handle.channel_failure(self.half.id()).await.ok();
    }

    /// Waits for the client's window: not to be awaited without an eye on the events.
    pub(crate) async fn stdout(&self, data: Bytes) -> Result<(), Gone> {
        self.half.data_bytes(data).await.map_err(|_| Gone)
    }

    /// As [`Self::stdout`], for the other stream.
    pub(crate) async fn stderr(&self, data: Bytes) -> Result<(), Gone> {
        self.half.extended_data_bytes(1, data).await.map_err(|_| Gone)
    }

    /// Ends the channel in the order that clients expect.
    pub(crate) async fn exit(&self, status: u32) {
        drop(self.half.exit_status(status).await);
        drop(self.half.eof().await);
        drop(self.half.close().await);
    }
}
