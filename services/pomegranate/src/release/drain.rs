//! Before `RemoveRelease` stops anything: what the proxy has begun with the release comes to its end.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{engine::Owned, error::Error, proxy};

const PAUSE: Duration = Duration::from_millis(100);
/// Long enough for most requests, where no proxy can be asked whether any is left.
const BLIND: Duration = Duration::from_secs(5);

/// What the proxy does with a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// Nothing any more.
    None,
    /// It cannot be asked.
    Unknown,
    /// It sends nothing new, and waits for what it sent.
    Ending,
    /// It sends new requests.
    Serving,
}

/// Waits until the proxy at `internal` has nothing in flight to these containers, at most `limit`.
///
/// # Errors
/// The proxy still sends them new requests.
pub(crate) async fn drain(
    internal: Option<SocketAddr>,
    containers: &[Owned],
    limit: Duration,
) -> Result<(), Error> {
    let hosts: BTreeSet<_> = containers.iter().flat_map(|container| &container.labels.hosts).collect();
    if limit.is_zero() || hosts.is_empty() {
        return Ok(());
    }
    let Some(internal) = internal else {
        tokio::time::sleep(limit.min(BLIND)).await;
        return Ok(());
    };
    let deadline = Instant::now() + limit;
    loop {
        let mut found = Use::None;
        for host in &hosts {
            found = found.max(used(internal, host.as_str(), &containers[0]).await);
        }
        let late = Instant::now() >= deadline;
        match found {
            Use::None => return Ok(()),
            Use::Serving if late => {
                return Err(Error::NotYet("the proxy still routes to the release".to_owned()));
            }
            Use::Unknown | Use::Ending if late => {
                tracing::info!(release.id = %containers[0].labels.release, ?found, "not drained in time");
                return Ok(());
            }
            Use::Unknown | Use::Ending | Use::Serving => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn used(internal: SocketAddr, host: &str, container: &Owned) -> Use {
    let release = container.labels.release;
    let Some(answer) = proxy::routes(internal, host).await else { return Use::Unknown };
    if answer.routes.iter().any(|route| route.release == release) {
        return Use::Serving;
    }
    let busy = answer.draining.iter().any(|route| route.release == release && route.in_flight > 0);
    if busy { Use::Ending } else { Use::None }
}
