//! Labels of an app's container: who it is and how a proxy routes to it.

use std::collections::BTreeMap;

use paastech_types::{ProjectId, ReleaseId};

use crate::{HostName, LabelError, LabelKey, ObjectKind, names, object};

/// Added to the release's number, so that every app's router outranks a catch-all.
const BASE_PRIORITY: i64 = 1000;

/// What the labels of an app's container say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteLabels {
    /// The installation.
    pub instance: String,
    /// The project.
    pub project: ProjectId,
    /// The release.
    pub release: ReleaseId,
    /// The release's number: of two healthy releases the higher one takes all traffic.
    pub seq: i64,
    /// The process type it runs: `web`.
    pub process: String,
    /// Which of the release's containers it is, from 1.
    pub ordinal: u32,
    /// The names it is reached by; none for what takes no traffic.
    pub hosts: Vec<HostName>,
    /// The port it listens on.
    pub port: u16,
    /// The network it is reached on.
    pub network: String,
    /// A hash of what the container was created from.
    pub spec_hash: String,
}

/// The name of a release's router and service, in Traefik and in logs: never shared by two releases, so that
/// nothing merges.
#[must_use]
pub fn router_name(project: ProjectId, seq: i64) -> String {
    format!("{project}-r{seq}")
}

impl RouteLabels {
    /// The labels, signed, and those that Traefik reads.
    #[must_use]
    pub fn to_labels(&self, key: &LabelKey) -> BTreeMap<String, String> {
        let hosts: Vec<&str> = self.hosts.iter().map(HostName::as_str).collect();
        let mut labels: BTreeMap<String, String> = [
            (names::INSTANCE, self.instance.clone()),
            (names::KIND, ObjectKind::App.name().to_owned()),
            (names::PROJECT, self.project.to_string()),
            (names::RELEASE, self.release.to_string()),
            (names::SEQ, self.seq.to_string()),
            (names::PROCESS, self.process.clone()),
            (names::ORDINAL, self.ordinal.to_string()),
            (names::HOSTS, hosts.join(",")),
            (names::PORT, self.port.to_string()),
            (names::NETWORK, self.network.clone()),
            (names::SPEC, self.spec_hash.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        key.sign(&mut labels);
        labels.extend(self.traefik_labels());
        labels
    }

    fn traefik_labels(&self) -> BTreeMap<String, String> {
        if self.hosts.is_empty() {
            return [("traefik.enable".to_owned(), "false".to_owned())].into();
        }
        let name = router_name(self.project, self.seq);
        let router = format!("traefik.http.routers.{name}");
        let rule: Vec<String> = self.hosts.iter().map(|host| format!("Host(`{host}`)")).collect();
        [
            ("traefik.enable".to_owned(), "true".to_owned()),
            ("traefik.docker.network".to_owned(), self.network.clone()),
            (format!("{router}.rule"), rule.join(" || ")),
            (format!("{router}.priority"), (BASE_PRIORITY + self.seq).to_string()),
            (format!("{router}.service"), name.clone()),
            (format!("traefik.http.services.{name}.loadbalancer.server.port"), self.port.to_string()),
        ]
        .into()
    }

    /// Reads a container's labels back; they count only when they are this installation's, signed with this key,
    /// and its `traefik.*` labels are exactly those that [`Self::to_labels`] writes.
    ///
    /// # Errors
    /// Foreign, forged, malformed or added labels.
    pub fn verify<'a>(
        labels: impl IntoIterator<Item = (&'a String, &'a String)>,
        key: &LabelKey,
        instance: &str,
    ) -> Result<Self, LabelError> {
        let labels = object::owned(labels, key, instance)?;
        if object::kind(&labels)? != ObjectKind::App {
            return Err(LabelError::Malformed(names::KIND));
        }
        let route = Self {
            instance: instance.to_owned(),
            project: object::required(&labels, names::PROJECT)?,
            release: object::required(&labels, names::RELEASE)?,
            seq: object::required(&labels, names::SEQ)?,
            process: object::required(&labels, names::PROCESS)?,
            ordinal: object::required(&labels, names::ORDINAL)?,
            hosts: hosts(&labels)?,
            port: object::required(&labels, names::PORT)?,
            network: object::required(&labels, names::NETWORK)?,
            spec_hash: object::required(&labels, names::SPEC)?,
        };
        let ours = route.traefik_labels();
        let added = labels
            .iter()
            .filter(|(name, _)| name.to_ascii_lowercase().starts_with("traefik."))
            .find(|(name, value)| ours.get(*name) != Some(*value));
        match added {
            Some((name, _)) => Err(LabelError::Extra(name.clone())),
            None => Ok(route),
        }
    }
}

fn hosts(labels: &BTreeMap<String, String>) -> Result<Vec<HostName>, LabelError> {
    let text: String = object::required(labels, names::HOSTS)?;
    text.split(',')
        .filter(|host| !host.is_empty())
        .map(|host| host.parse().map_err(|_| LabelError::Malformed(names::HOSTS)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> RouteLabels {
        RouteLabels {
            instance: "i1".to_owned(),
            project: ProjectId::new(),
            release: ReleaseId::new(),
            seq: 7,
            process: "web".to_owned(),
            ordinal: 1,
            hosts: vec!["a.localhost".parse().expect("a host"), "b.localhost".parse().expect("a host")],
            port: 8080,
            network: "pt-0".to_owned(),
            spec_hash: "ab".to_owned(),
        }
    }

    fn key() -> LabelKey {
        LabelKey::new([9; 32])
    }

    #[test]
    fn what_is_signed_reads_back() {
        let route = route();
        assert_eq!(RouteLabels::verify(&route.to_labels(&key()), &key(), "i1"), Ok(route));
    }

    #[test]
    fn the_labels_are_these() {
        let project: ProjectId = "018f3c5a-0000-7000-8000-000000000001".parse().expect("an id");
        let release = "018f3c5a-0000-7000-8000-000000000002".parse().expect("an id");
        let labels = RouteLabels { project, release, ..route() }.to_labels(&key());
        let text: String = labels.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        assert_eq!(text, include_str!("route.golden"));
    }

    #[test]
    fn any_change_breaks_the_signature() {
        let labels = route().to_labels(&key());
        for name in labels.keys().filter(|name| name.starts_with("paastech.")) {
            let mut changed = labels.clone();
            changed.insert(name.clone(), "zz".to_owned());
            assert!(RouteLabels::verify(&changed, &key(), "i1").is_err(), "{name} changed");
            changed.remove(name);
            assert!(RouteLabels::verify(&changed, &key(), "i1").is_err(), "{name} removed");
        }
        let mut more = labels;
        more.insert("paastech.extra".to_owned(), String::new());
        assert_eq!(RouteLabels::verify(&more, &key(), "i1"), Err(LabelError::Forged));
    }

    #[test]
    fn a_traefik_label_from_the_image_is_found() {
        let mut labels = route().to_labels(&key());
        labels.insert("traefik.http.routers.x.rule".to_owned(), "Host(`victim`)".to_owned());
        assert!(matches!(RouteLabels::verify(&labels, &key(), "i1"), Err(LabelError::Extra(_))));
    }

    #[test]
    fn without_hosts_nothing_is_routed() {
        let route = RouteLabels { hosts: Vec::new(), ..route() };
        let labels = route.to_labels(&key());
        assert_eq!(labels["traefik.enable"], "false");
        assert_eq!(RouteLabels::verify(&labels, &key(), "i1"), Ok(route));
    }
}
