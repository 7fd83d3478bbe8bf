//! Reads a container, as the engine lists it, into what the table needs.

use std::net::{IpAddr, SocketAddr};

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use paastech_labels::{LabelKey, RouteLabels};

use crate::Replica;

/// The container as a replica, when its labels are of this installation and signed; `healthy` says whether the
/// engine lists it as such. Ours, but without hosts: takes no traffic, so `None`.
pub(crate) fn replica(
    container: &ContainerSummary,
    healthy: bool,
    key: &LabelKey,
    instance: &str,
) -> Option<Replica> {
    let id = container.id.clone()?;
    let labels = match RouteLabels::verify(container.labels.as_ref()?, key, instance) {
        Ok(labels) => labels,
        Err(error) => {
            tracing::debug!(container = id, %error, "a container is not routed");
            return None;
        }
    };
    if labels.hosts.is_empty() {
        return None;
    }
    let running = container.state == Some(ContainerSummaryStateEnum::RUNNING);
    let addr = address(container, &labels).filter(|_| running && healthy);
    Some(Replica {
        container: id,
        project: labels.project,
        release: labels.release,
        seq: labels.seq,
        hosts: labels.hosts,
        ready: addr,
    })
}

/// Its address on the network its labels name.
fn address(container: &ContainerSummary, labels: &RouteLabels) -> Option<SocketAddr> {
    let networks = container.network_settings.as_ref()?.networks.as_ref()?;
    let ip: IpAddr = networks.get(&labels.network)?.ip_address.as_ref()?.parse().ok()?;
    Some(SocketAddr::new(ip, labels.port))
}
