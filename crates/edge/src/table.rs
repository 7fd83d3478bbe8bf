//! Who serves which host. Readers never wait; a new table replaces the old one as a whole.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use paastech_labels::{HostName, Route};
use paastech_types::{ProjectId, ReleaseId};

use crate::{
    metrics::METRICS,
    server::{InFlight, Server},
};

/// One container of a release, as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The engine's id of the container.
    pub container: String,
    /// Whose it is.
    pub project: ProjectId,
    /// The release it runs.
    pub release: ReleaseId,
    /// The release's number: the highest with a ready container takes all traffic.
    pub seq: i64,
    /// The names it is reached by.
    pub hosts: Vec<HostName>,
    /// Where it answers, when traffic may go there.
    pub ready: Option<SocketAddr>,
}

/// The live routing table.
pub struct RouteTable {
    current: ArcSwap<HashMap<HostName, Entry>>,
    /// Every server that is ready or still has something in flight.
    known: Mutex<Vec<Arc<Server>>>,
    connect: Duration,
}

enum Entry {
    Serving(Serving),
    /// The project has containers, but none takes traffic.
    Waiting,
}

/// The release that takes all of a host's traffic.
struct Serving {
    servers: Vec<Arc<Server>>,
    next: AtomicUsize,
}

/// Where a request goes.
pub(crate) enum Way {
    /// To this server; it counts as in flight from now on.
    To(InFlight),
    /// Every server has been tried.
    Tried,
    /// The project has containers, but none takes traffic.
    Waiting,
    /// Nobody has this host.
    Unknown,
}

impl RouteTable {
    /// An empty table, whose servers must accept a connection within `connect`.
    #[must_use]
    pub fn new(connect: Duration) -> Self {
        Self { current: ArcSwap::default(), known: Mutex::default(), connect }
    }

    /// Makes the table what these containers say. A container that was known keeps its connections and its count.
    pub fn apply(&self, replicas: &[Replica]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut servers = HashMap::new();
        for replica in replicas {
            let Some(addr) = replica.ready else { continue };
            let same = |server: &&Arc<Server>| server.container == replica.container && server.addr == addr;
            let server = known
                .iter()
                .find(same)
                .map_or_else(|| Arc::new(Server::new(replica, addr, self.connect)), Arc::clone);
            servers.insert(replica.container.as_str(), server);
        }
        let entry = |chosen: Vec<&Replica>| {
            if chosen.is_empty() {
                return Entry::Waiting;
            }
            let of = |replica: &Replica| Arc::clone(&servers[replica.container.as_str()]);
            Entry::Serving(Serving {
                servers: chosen.into_iter().map(of).collect(),
                next: AtomicUsize::new(0),
            })
        };
        let table = choose(replicas).into_iter().map(|(host, chosen)| (host.clone(), entry(chosen)));
        let table: HashMap<_, _> = table.collect();
        let served = table.values().filter(|entry| matches!(entry, Entry::Serving(_))).count();
        METRICS.routes.set(i64::try_from(served).unwrap_or(i64::MAX));
        self.current.store(Arc::new(table));
        let ready = |server: &Arc<Server>| servers.values().any(|ready| Arc::ptr_eq(ready, server));
        known.retain(|server| !ready(server) && server.in_flight() > 0);
        known.extend(servers.into_values());
    }

    /// What is routed, by host; of one host only when `host` is given.
    #[must_use]
    pub fn routes(&self, host: Option<&str>) -> Vec<Route> {
        let table = self.current.load();
        let mut routes: Vec<Route> = table
            .iter()
            .filter(|(name, _)| host.is_none_or(|host| host == name.as_str()))
            .filter_map(|(name, entry)| match entry {
                Entry::Serving(serving) => Some(describe(name, &serving.servers)),
                Entry::Waiting => None,
            })
            .collect();
        routes.sort_by(|a, b| a.host.cmp(&b.host));
        routes
    }

    /// Releases that get no new requests, though they are ready or still have some in flight.
    #[must_use]
    pub fn draining(&self, host: Option<&str>) -> Vec<Route> {
        let table = self.current.load();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut releases: BTreeMap<(HostName, i64), Vec<Arc<Server>>> = BTreeMap::new();
        for server in known.iter() {
            for name in server.hosts.iter().filter(|name| host.is_none_or(|host| host == name.as_str())) {
                let routed = match table.get(name) {
                    Some(Entry::Serving(serving)) => serving.servers.iter().any(|s| Arc::ptr_eq(s, server)),
                    _ => false,
                };
                if !routed {
                    releases.entry((name.clone(), server.seq)).or_default().push(Arc::clone(server));
                }
            }
        }
        releases.iter().map(|((name, _), servers)| describe(name, servers)).collect()
    }

    /// The way of a request to `host` that has `tried` these already.
    pub(crate) fn way(&self, host: &HostName, tried: &[Arc<Server>]) -> Way {
        loop {
            let table = self.current.load();
            let serving = match table.get(host) {
                None => return Way::Unknown,
                Some(Entry::Waiting) => return Way::Waiting,
                Some(Entry::Serving(serving)) => serving,
            };
            let Some(server) = serving.pick(tried) else { return Way::Tried };
            let entered = InFlight::enter(server);
            // A swap between the look and the count would let the old server seem drained: look again.
            if Arc::ptr_eq(&table, &self.current.load()) {
                return Way::To(entered);
            }
        }
    }
}

impl Serving {
    /// The least busy server not yet tried; one that lately refused a connection only when there is no other.
    fn pick(&self, tried: &[Arc<Server>]) -> Option<Arc<Server>> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.servers.len();
        let (before, after) = self.servers.split_at(first);
        let fresh = |server: &&Arc<Server>| !tried.iter().any(|t| Arc::ptr_eq(t, server));
        after
            .iter()
            .chain(before)
            .filter(fresh)
            .min_by_key(|server| (server.is_avoided(), server.in_flight()))
            .map(Arc::clone)
    }
}

fn describe(host: &HostName, servers: &[Arc<Server>]) -> Route {
    let first = &servers[0];
    Route {
        host: host.to_string(),
        project: first.project,
        release: first.release,
        seq: first.seq,
        servers: servers.len(),
        in_flight: servers.iter().map(|server| server.in_flight()).sum(),
    }
}

/// For every host the containers that take its traffic: the ready ones of the highest release that has any.
/// Of two projects that claim one host, the older has it: ids sort by creation.
fn choose(replicas: &[Replica]) -> BTreeMap<&HostName, Vec<&Replica>> {
    let mut owners: BTreeMap<&HostName, ProjectId> = BTreeMap::new();
    for replica in replicas {
        for host in &replica.hosts {
            let owner = owners.entry(host).or_insert(replica.project);
            if *owner != replica.project {
                tracing::warn!(%host, a = %owner, b = %replica.project, "two projects claim one host");
            }
            *owner = replica.project.min(*owner);
        }
    }
    let mut chosen: BTreeMap<&HostName, Vec<&Replica>> = BTreeMap::new();
    for replica in replicas {
        for host in replica.hosts.iter().filter(|host| owners[host] == replica.project) {
            let best = chosen.entry(host).or_default();
            if replica.ready.is_none() || best.first().is_some_and(|first| first.seq > replica.seq) {
                continue;
            }
            if best.first().is_some_and(|first| first.seq < replica.seq) {
                best.clear();
            }
            best.push(replica);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOSTS: [&str; 3] = ["a", "b", "c"];

    fn projects() -> [ProjectId; 2] {
        [1, 2].map(|n| ProjectId::from(uuid::Uuid::from_u128(n)))
    }

    fn release(seq: i64) -> ReleaseId {
        ReleaseId::from(uuid::Uuid::from_u128(u128::from(seq.unsigned_abs())))
    }

    fn replica(n: u16, project: ProjectId, seq: i64, host: &str, ready: bool) -> Replica {
        Replica {
            container: format!("c{n}"),
            project,
            release: release(seq),
            seq,
            hosts: vec![host.parse().expect("a host")],
            ready: ready.then(|| SocketAddr::from(([127, 0, 0, 1], n + 1))),
        }
    }

    fn any_replicas() -> impl Strategy<Value = Vec<Replica>> {
        let one = (0..2_usize, 0..5_i64, 0..3_usize, any::<bool>());
        proptest::collection::vec(one, 0..24).prop_map(|all| {
            let build =
                |(n, (project, seq, host, ready))| replica(n, projects()[project], seq, HOSTS[host], ready);
            (0..).zip(all).map(build).collect()
        })
    }

    proptest! {
        #[test]
        fn the_highest_ready_release_of_the_oldest_project_takes_everything(replicas in any_replicas()) {
            let chosen = choose(&replicas);
            for host in HOSTS {
                let host: HostName = host.parse().expect("a host");
                let claims: Vec<&Replica> = replicas.iter().filter(|r| r.hosts.contains(&host)).collect();
                let Some(owner) = claims.iter().map(|r| r.project).min() else {
                    prop_assert!(!chosen.contains_key(&host));
                    continue;
                };
                let ready: Vec<&Replica> =
                    claims.into_iter().filter(|r| r.project == owner && r.ready.is_some()).collect();
                let highest = ready.iter().map(|r| r.seq).max();
                let expected: Vec<&Replica> = ready.into_iter().filter(|r| Some(r.seq) == highest).collect();
                prop_assert_eq!(&chosen[&host], &expected);
            }
        }

        #[test]
        fn what_is_routed_and_what_drains_are_all_that_is_ready(replicas in any_replicas()) {
            let table = RouteTable::new(Duration::from_secs(1));
            // Made outside a runtime: a table starts nothing by itself.
            table.apply(&replicas);
            let count = |routes: Vec<Route>| routes.iter().map(|route| route.servers).sum::<usize>();
            let ready = replicas.iter().filter(|replica| replica.ready.is_some()).count();
            prop_assert_eq!(count(table.routes(None)) + count(table.draining(None)), ready);
            table.apply(&[]);
            prop_assert_eq!(table.routes(None).len() + table.draining(None).len(), 0);
        }
    }

    fn enter(table: &RouteTable) -> InFlight {
        match table.way(&"a".parse().expect("a host"), &[]) {
            Way::To(in_flight) => in_flight,
            _ => panic!("nothing is routed"),
        }
    }

    #[test]
    fn what_is_in_flight_is_seen_until_it_ends_though_its_server_is_gone() {
        let table = RouteTable::new(Duration::from_secs(1));
        let [project, _] = projects();
        table.apply(&[replica(1, project, 1, "a", true)]);
        let old = enter(&table);
        table.apply(&[replica(2, project, 2, "a", true)]);
        let _new = enter(&table);
        let seen = |routes: Vec<Route>| routes.iter().map(|r| (r.seq, r.in_flight)).collect::<Vec<_>>();
        assert_eq!(seen(table.routes(None)), [(2, 1)]);
        assert_eq!(seen(table.draining(Some("a"))), [(1, 1)]);
        drop(old);
        table.apply(&[replica(2, project, 2, "a", true)]);
        assert_eq!(seen(table.routes(None)), [(2, 1)], "the same server, the same count");
        assert_eq!(seen(table.draining(None)), []);
    }

    #[test]
    fn the_least_busy_server_is_next_and_none_is_tried_twice() {
        let table = RouteTable::new(Duration::from_secs(1));
        let [project, _] = projects();
        let both = [replica(1, project, 1, "a", true), replica(2, project, 1, "a", true)];
        table.apply(&both);
        let (one, two) = (enter(&table), enter(&table));
        assert_ne!(one.server().addr, two.server().addr);
        let tried = [Arc::clone(one.server()), Arc::clone(two.server())];
        assert!(matches!(table.way(&"a".parse().expect("a host"), &tried), Way::Tried));
    }

    #[test]
    fn a_server_that_refused_is_taken_only_when_there_is_no_other() {
        let table = RouteTable::new(Duration::from_secs(1));
        let [project, _] = projects();
        table.apply(&[replica(1, project, 1, "a", true), replica(2, project, 1, "a", true)]);
        let refused = enter(&table);
        refused.server().avoid();
        let other: Vec<SocketAddr> = (0..4).map(|_| enter(&table).server().addr).collect();
        assert!(!other.contains(&refused.server().addr), "{other:?}");
        let known = refused.server().addr;
        table.apply(&[replica(known.port() - 1, project, 1, "a", true)]);
        assert_eq!(enter(&table).server().addr, known);
    }
}
