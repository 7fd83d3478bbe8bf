//! The bytes between a client and its git: always drained, so that neither a slow client nor a lost one can hold a
//! process, a lock or the connection.

use std::{future::pending, time::Duration};

use bytes::{Bytes, BytesMut};
use paastech_git_controller::killer::Killer;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin},
    sync::watch,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    child,
    push::{Push, Stage},
    server::Shared,
    ssh::channel::{Event, Events, Gone, Writer},
};

/// How much of git's output is read at once.
const BUFFER: usize = 64 * 1024;
/// How long git may take to end by itself, its client or its hook having gone: then it removes its quarantine, which
/// a signal makes it leave behind.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs a child to its end and gives its exit code.
pub(super) async fn run(
    shared: &Shared,
    mut child: Child,
    events: &mut Events,
    writer: &Writer,
    push: Option<&Push>,
) -> u32 {
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return 1;
    };
    let killer = Killer::of(&child);
    let client =
        Client { gone: CancellationToken::new(), sent: watch::Sender::new(false), push, killer: &killer };
    let ended = async {
        tokio::join!(
            pump(stdout, &client.gone, |data| writer.stdout(data)),
            pump(stderr, &client.gone, |data| writer.stderr(data)),
        );
        child.wait().await
    };
    let ended = tokio::select! {
        ended = ended => ended,
        () = client.feed(events, stdin) => return 1,
        () = client.watch_clock(shared) => return 1,
    };
    ended.map_or(1, child::exit_code)
}

struct Client<'a> {
    gone: CancellationToken,
    sent: watch::Sender<bool>,
    push: Option<&'a Push>,
    killer: &'a Killer,
}

impl Client<'_> {
    /// Hands the client's bytes to git; never returns.
    async fn feed(&self, events: &mut Events, stdin: ChildStdin) {
        let mut stdin = Some(stdin);
        loop {
            match events.next().await {
                Event::Data(data) => {
                    self.sent.send_replace(true);
                    if let Some(pipe) = &mut stdin
                        && pipe.write_all(&data).await.is_err()
                    {
                        // git has ended: what the client still sends is read and dropped.
                        stdin = None;
                    }
                }
                // Only this half is over; git may still have much to say.
                Event::Eof => stdin = None,
                Event::Gone => break,
                // Answered already; a channel runs one command.
                Event::Env { .. } | Event::Shell | Event::Exec(_) => {}
            }
        }
        drop(stdin);
        self.gone.cancel();
        // A push whose refs may have moved goes on without its client; everything else is over.
        if self.push.is_none_or(Push::lose_client) {
            sleep(PATIENCE).await;
            self.killer.end().await;
        }
        pending().await
    }

    /// Ends a child that has had its time; never returns. A cut takes the client away, which is enough.
    async fn watch_clock(&self, shared: &Shared) {
        let limits = &shared.config.limits;
        let seconds = Duration::from_secs;
        let silent = async {
            sleep(seconds(limits.first_byte_seconds)).await;
            if *self.sent.borrow() {
                pending().await
            }
        };
        let slow = async {
            sleep(seconds(limits.receive_seconds)).await;
            if self.push.is_some_and(|push| push.stage() > Stage::Receiving) {
                pending().await
            }
        };
        let why = tokio::select! {
            () = silent => "nothing was sent",
            () = slow => "the transfer took too long",
            () = sleep(seconds(limits.push_seconds)) => "the push took too long",
        };
        tracing::info!(why, "ending a git child");
        if let Some(push) = self.push {
            push.interrupt();
        }
        // The pusher may still be told why.
        sleep(PATIENCE).await;
        self.gone.cancel();
        self.killer.end().await;
    }
}

/// Copies one of git's streams to the client, and to nowhere once the client is gone.
async fn pump<F>(mut from: impl AsyncRead + Unpin, gone: &CancellationToken, send: impl Fn(Bytes) -> F)
where
    F: Future<Output = Result<(), Gone>>,
{
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(BUFFER);
        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let data = buffer.split().freeze();
        if gone.is_cancelled() {
            continue;
        }
        // The client's window may never open again: its going must be noticed here too.
        tokio::select! {
            sent = send(data) => if sent.is_err() { gone.cancel() },
            () = gone.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_is_drained_when_the_window_never_opens_again() {
        let gone = CancellationToken::new();
        let (mut write, read) = tokio::io::duplex(1024);
        let pumped = pump(read, &gone, |_| pending());
        let written = async {
            write.write_all(&[0; 500]).await.expect("written");
            gone.cancel();
            write.write_all(&vec![0; 1 << 20]).await.expect("drained");
            drop(write);
        };
        let both = async { tokio::join!(pumped, written) };
        tokio::time::timeout(Duration::from_secs(10), both).await.expect("nobody is stuck");
    }
}
