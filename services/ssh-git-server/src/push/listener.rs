//! Where hooks call: each proves by user and token which push it belongs to.

use std::{sync::Arc, time::Duration};

use tokio::net::{UnixListener, UnixStream};
use tracing::Instrument as _;

use super::{Stage, build, conversation::Conversation, deploy};
use crate::{
    hook::protocol::{self, ToServer},
    server::Shared,
};

/// How long a hook may take to say hello.
const HELLO: Duration = Duration::from_secs(10);

/// Answers hooks until the process is cut: pushes under way outlive the drain's beginning.
pub(crate) async fn run(shared: Arc<Shared>, listener: UnixListener) -> anyhow::Result<()> {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.over() => return Ok(()),
        };
        match stream {
            Ok((stream, _)) => {
                let served = serve(shared.clone(), stream);
                shared.shutdown.track(served);
            }
            Err(error) => {
                tracing::warn!(error = %error, "cannot accept a hook");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(shared: Arc<Shared>, stream: UnixStream) {
    let ours = rustix::process::getuid().as_raw();
    if !stream.peer_cred().is_ok_and(|peer| peer.uid() == ours) {
        tracing::warn!("a stranger spoke to the hooks' socket");
        return;
    }
    let (mut reader, writer) = stream.into_split();
    let Ok(Ok(hello)) = tokio::time::timeout(HELLO, ToServer::read(&mut reader)).await else { return };
    let ToServer::Hello { token, stage, updates, options } = hello else { return };
    let Some(push) = shared.pushes.find(&token) else { return };
    let conversation = Conversation::new(reader, writer);
    let ended = match stage {
        protocol::Stage::PreReceive if push.advance(Stage::Receiving, Stage::Checking) => {
            let served = build::serve(&shared, &push, conversation, updates, options);
            push.trace.scope(served.instrument(push.hook_span("pre-receive"))).await
        }
        protocol::Stage::PostReceive if push.advance(Stage::Accepted, Stage::Deploying) => {
            let served = deploy::serve(&shared, &push, conversation, updates);
            push.trace.scope(served.instrument(push.hook_span("post-receive"))).await
        }
        _ => return,
    };
    if ended.is_err() {
        tracing::info!(push.id = %push.id, "a hook has gone before its end");
    }
}
