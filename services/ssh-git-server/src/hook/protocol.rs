//! What hook and server say to each other: a length, a kind, a payload. Fields are fields, never joined texts.

use std::io::{self, Read, Write};

use bytes::Bytes;
use paastech_types::Oid;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The longest message: a push of the most refs with the most options fits.
const MAX_FRAME: usize = 1 << 20;
/// The kind that carries raw bytes; everything else is JSON.
const RAW: u8 = 1;
const JSON: u8 = 0;

/// Which hook is speaking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    PreReceive,
    PostReceive,
}

/// One line of a hook's standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Update {
    pub(crate) name: String,
    pub(crate) old: Oid,
    pub(crate) new: Oid,
}

/// What a hook tells the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ToServer {
    /// First, once.
    Hello { token: String, stage: Stage, updates: Vec<Update>, options: Vec<String> },
    /// The tree that the server asked for follows.
    SourceStart { tree: Oid },
    /// A piece of it.
    #[serde(skip)]
    Chunk(Bytes),
    /// All of it is there.
    SourceEnd { warnings: Vec<String> },
    /// It is refused, and what was sent of it is void.
    SourceRefused { why: String },
}

/// What the server tells a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ToHook {
    /// Print this.
    Line(String),
    /// Send the tree of this commit.
    SendSource { commit: Oid, limits: paastech_git_controller::archive::Limits },
    /// Exit; with 0 if accepted.
    Done { accepted: bool },
}

fn frame(kind: u8, payload: &[u8]) -> io::Result<Vec<u8>> {
    if payload.len() >= MAX_FRAME {
        return Err(invalid("a hook message is too long"));
    }
    let length = u32::try_from(payload.len() + 1).map_err(|_| invalid("a hook message is too long"))?;
    let mut bytes = Vec::with_capacity(payload.len() + 5);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

fn length(prefix: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_be_bytes(prefix) as usize;
    if length == 0 || length > MAX_FRAME { Err(invalid("a hook message is too long")) } else { Ok(length) }
}

fn decode<T: serde::de::DeserializeOwned>(json: &[u8]) -> io::Result<T> {
    serde_json::from_slice(json).map_err(|_| invalid("a hook message cannot be read"))
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

impl ToServer {
    /// Writes the message, from the hook.
    pub(crate) fn write(&self, mut to: impl Write) -> io::Result<()> {
        let bytes = match self {
            Self::Chunk(data) => frame(RAW, data)?,
            other => frame(JSON, &serde_json::to_vec(other)?)?,
        };
        to.write_all(&bytes)
    }

    /// Reads one, in the server.
    pub(crate) async fn read(mut from: impl AsyncRead + Unpin) -> io::Result<Self> {
        let mut prefix = [0; 4];
        from.read_exact(&mut prefix).await?;
        let mut body = vec![0; length(prefix)?];
        from.read_exact(&mut body).await?;
        match body[0] {
            RAW => Ok(Self::Chunk(Bytes::from(body).slice(1..))),
            JSON => decode(&body[1..]),
            _ => Err(invalid("a hook message is of an unknown kind")),
        }
    }
}

impl ToHook {
    /// Writes the message, from the server.
    pub(crate) async fn write(&self, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
        to.write_all(&frame(JSON, &serde_json::to_vec(self)?)?).await
    }

    /// Reads one, in the hook.
    pub(crate) fn read(mut from: impl Read) -> io::Result<Self> {
        let mut prefix = [0; 4];
        from.read_exact(&mut prefix)?;
        let mut body = vec![0; length(prefix)?];
        from.read_exact(&mut body)?;
        decode(&body[1..])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
    }

    proptest! {
        #[test]
        fn whatever_a_client_puts_into_a_field_stays_in_it(name in any::<String>(), option in any::<String>()) {
            let update = Update { name, old: Oid::zero(), new: Oid::zero() };
            let hello = ToServer::Hello {
                token: "t".to_owned(),
                stage: Stage::PreReceive,
                updates: vec![update],
                options: vec![option],
            };
            let mut bytes = Vec::new();
            hello.write(&mut bytes).expect("written");
            prop_assert_eq!(block(ToServer::read(bytes.as_slice())).expect("read"), hello);
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            drop(block(ToServer::read(bytes.as_slice())));
            drop(ToHook::read(bytes.as_slice()));
        }
    }

    #[test]
    fn chunks_travel_as_they_are() {
        let chunk = ToServer::Chunk(Bytes::from_static(&[0, 255, 1]));
        let mut bytes = Vec::new();
        chunk.write(&mut bytes).expect("written");
        assert_eq!(block(ToServer::read(bytes.as_slice())).expect("read"), chunk);
    }

    #[test]
    fn an_endless_message_is_refused_before_it_is_read() {
        let bytes = [0xff; 16];
        assert!(block(ToServer::read(bytes.as_slice())).is_err());
    }
}
