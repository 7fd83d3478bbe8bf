//! Reads a container, as the engine lists it, into what the table needs.

use std::net::{IpAddr, SocketAddr};

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use paastech_labels::{LabelKey, RouteLabels};

use uuid::Uuid;

use crate::{ApiRoute, EdgeError, Replica};

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

/// The platform's API as a replica that is always ready: of a project older than any, so that no other has its name.
pub(crate) fn api(route: &ApiRoute) -> Result<Replica, EdgeError> {
    let host = route.host.parse().map_err(|_| EdgeError::ApiHost(route.host.clone()))?;
    Ok(Replica {
        container: "api".to_owned(),
        project: Uuid::nil().into(),
        release: Uuid::nil().into(),
        seq: 0,
        hosts: vec![host],
        ready: Some(route.address),
    })
}

/// Its address on the network its labels name.
fn address(container: &ContainerSummary, labels: &RouteLabels) -> Option<SocketAddr> {
    let networks = container.network_settings.as_ref()?.networks.as_ref()?;
    let ip: IpAddr = networks.get(&labels.network)?.ip_address.as_ref()?.parse().ok()?;
    Some(SocketAddr::new(ip, labels.port))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::{ContainerSummaryNetworkSettings, EndpointSettings};
    use paastech_types::{ProjectId, ReleaseId};
    use proptest::prelude::*;

    use super::*;

    fn key() -> LabelKey {
        LabelKey::new([3; 32])
    }

    fn labels() -> HashMap<String, String> {
        let labels = RouteLabels {
            instance: "i1".to_owned(),
            project: ProjectId::new(),
            release: ReleaseId::new(),
            seq: 3,
            process: "web".to_owned(),
            ordinal: 1,
            hosts: vec!["a.localhost".parse().expect("a host")],
            port: 8080,
            network: "pt-0".to_owned(),
            spec_hash: "ab".to_owned(),
        };
        labels.to_labels(&key()).into_iter().collect()
    }

    fn container(labels: HashMap<String, String>) -> ContainerSummary {
        let on =
            |ip: &str| EndpointSettings { ip_address: Some(ip.to_owned()), ..EndpointSettings::default() };
        let networks =
            HashMap::from([("other".to_owned(), on("172.17.0.9")), ("pt-0".to_owned(), on("172.18.0.2"))]);
        ContainerSummary {
            id: Some("c1".to_owned()),
            labels: Some(labels),
            state: Some(ContainerSummaryStateEnum::RUNNING),
            network_settings: Some(ContainerSummaryNetworkSettings { networks: Some(networks) }),
            ..ContainerSummary::default()
        }
    }

    fn ready(container: &ContainerSummary, healthy: bool) -> Option<SocketAddr> {
        replica(container, healthy, &key(), "i1").expect("one of ours").ready
    }

    #[test]
    fn a_healthy_running_container_is_ready_on_the_network_its_labels_name() {
        let mut container = container(labels());
        assert_eq!(ready(&container, true), Some(SocketAddr::from(([172, 18, 0, 2], 8080))));
        assert_eq!(ready(&container, false), None);
        container.state = Some(ContainerSummaryStateEnum::PAUSED);
        assert_eq!(ready(&container, true), None);
    }

    #[test]
    fn without_that_network_or_an_address_it_is_not_ready() {
        for ip in ["", "not-an-address"] {
            let mut container = container(labels());
            let networks =
                container.network_settings.as_mut().and_then(|n| n.networks.as_mut()).expect("networks");
            networks.get_mut("pt-0").expect("pt-0").ip_address = Some(ip.to_owned());
            assert_eq!(ready(&container, true), None, "{ip:?}");
            container.network_settings = None;
            assert_eq!(ready(&container, true), None);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_changed_after_signing_is_ignored(pick: prop::sample::Index, value in "[a-z0-9.]{1,12}") {
            let mut labels = labels();
            let names: Vec<String> = labels.keys().filter(|name| name.starts_with("paastech.")).cloned().collect();
            let old = labels.insert(pick.get(&names).clone(), value.clone());
            prop_assume!(old != Some(value));
            prop_assert_eq!(replica(&container(labels), true, &key(), "i1"), None);
        }
    }

    #[test]
    fn unsigned_foreign_and_unlabelled_containers_are_ignored() {
        let mut unsigned = labels();
        unsigned.remove("paastech.sig");
        assert_eq!(replica(&container(unsigned), true, &key(), "i1"), None);
        assert_eq!(replica(&container(labels()), true, &key(), "i2"), None);
        assert_eq!(replica(&container(labels()), true, &LabelKey::new([4; 32]), "i1"), None);
        assert_eq!(replica(&container(HashMap::new()), true, &key(), "i1"), None);
    }
}
