//! `ConfirmRelease`: asks the proxy whether it routes to the release, then sends one request through it.

use std::{net::SocketAddr, time::Duration};

use crate::{
    config::{ProxyConfig, ProxyKind},
    engine::{Engine, Owned},
    error::Error,
    proxy::{self, Use, used},
    release::gate::is_healthy,
};

const PAUSE: Duration = Duration::from_millis(50);

/// The HTTP status of one request that the proxy passed to the release; 0 when there is none to send it through, or
/// when the release takes no traffic.
pub(crate) async fn confirm(
    engine: &Engine,
    config: &ProxyConfig,
    release: &[Owned],
    timeout: Duration,
) -> Result<u16, Error> {
    let host = release.iter().find_map(|container| container.labels.hosts.first());
    let Some(host) = host.map(ToString::to_string) else { return Ok(0) };
    let attempt = async {
        while !is_routed(engine, config, &host, release).await? {
            tokio::time::sleep(PAUSE).await;
        }
        let Some(public) = config.public else { return Ok(0) };
        let marked = config.internal.is_some() && config.kind == ProxyKind::Edge;
        loop {
            if let Some(status) = through(public, &host, marked).await {
                return Ok(status);
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(timeout, attempt)
        .await
        .map_err(|_| Error::NotYet(format!("the proxy does not route {host} to the release yet")))?
}

/// Whether the proxy sends this host's traffic to this release, to all of its servers. Where it cannot be asked, the
/// engine tells what it goes by.
async fn is_routed(
    engine: &Engine,
    config: &ProxyConfig,
    host: &str,
    release: &[Owned],
) -> Result<bool, Error> {
    if config.internal.is_none() {
        return all_healthy(engine, release).await;
    }
    let found = used(config, host, &release[0].labels).await;
    Ok(matches!(found, Use::Serving(servers) if servers >= release.len()))
}

async fn all_healthy(engine: &Engine, release: &[Owned]) -> Result<bool, Error> {
    for container in release {
        if !is_healthy(engine, container).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The status of one request, unless the proxy itself answered. Ours, once it has said that it routes, marks its own
/// answers; of another the codes by which proxies fail must be taken for that.
async fn through(public: SocketAddr, host: &str, marked: bool) -> Option<u16> {
    let answered = proxy::through(public, host).await?;
    let status = answered.status.as_u16();
    let failed = answered.by_proxy || (!marked && matches!(status, 502..=504));
    (!failed).then_some(status)
}
