//! A socket of ours, and the connections to it.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::UnixListener, sync::Semaphore, task::JoinSet};

use crate::answer::Answer;

/// Connections at one time; whoever asks has a handful.
const CONNECTIONS: usize = 32;
const HEADERS_WITHIN: Duration = Duration::from_secs(10);

/// Listens at `socket`, for whoever can reach its directory.
pub(crate) fn bind(socket: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Answers every request by `answer`. Connections end with the future.
pub(crate) async fn serve<F>(
    listener: UnixListener,
    answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
) where
    F: Future<Output = Answer> + Send,
{
    let answer = Arc::new(answer);
    let (slots, mut connections) = (Arc::new(Semaphore::new(CONNECTIONS)), JoinSet::new());
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let answer = Arc::clone(&answer);
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let answer = Arc::clone(&answer);
                async move { Ok::<_, io::Error>(answer(request).await) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
            if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "a connection to an engine gate failed");
            }
            drop(slot);
        });
    }
}
