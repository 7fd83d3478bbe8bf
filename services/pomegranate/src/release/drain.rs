//! Before `RemoveRelease` stops anything: what the proxy has begun with the release comes to its end.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::{
    config::ProxyConfig,
    engine::Owned,
    error::Error,
    proxy::{Use, used},
};

const PAUSE: Duration = Duration::from_millis(100);
/// Long enough for most requests, where no proxy can be asked whether any is left.
const BLIND: Duration = Duration::from_secs(5);

/// Waits until the proxy has nothing in flight to these containers, at most `limit`.
///
/// # Errors
/// The proxy still sends them new requests.
pub(crate) async fn drain(proxy: &ProxyConfig, containers: &[Owned], limit: Duration) -> Result<(), Error> {
    let hosts: BTreeSet<_> = containers.iter().flat_map(|container| &container.labels.hosts).collect();
    if limit.is_zero() || hosts.is_empty() {
        return Ok(());
    }
    if proxy.internal.is_none() {
        tokio::time::sleep(limit.min(BLIND)).await;
        return Ok(());
    }
    let deadline = Instant::now() + limit;
    loop {
        let mut found = Use::None;
        for host in &hosts {
            found = found.max(used(proxy, host.as_str(), &containers[0].labels).await);
        }
        let late = Instant::now() >= deadline;
        match found {
            Use::None => return Ok(()),
            Use::Serving(_) if late => {
                return Err(Error::NotYet("the proxy still routes to the release".to_owned()));
            }
            Use::Unknown | Use::Ending if late => {
                tracing::info!(release.id = %containers[0].labels.release, ?found, "not drained in time");
                return Ok(());
            }
            Use::Unknown | Use::Ending | Use::Serving(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
