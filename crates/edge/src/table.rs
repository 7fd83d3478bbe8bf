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
use paastech_labels::HostName;
use paastech_types::{ProjectId, ReleaseId};
use serde::Serialize;

use crate::server::{InFlight, Server};

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

/// What the internal address tells about one release on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// The name clients use.
    pub host: String,
    /// The project's id.
    pub project: String,
    /// The release's id.
    pub release: String,
    /// The release's number.
    pub seq: i64,
    /// Containers that take traffic.
    pub servers: usize,
    /// Requests and tunnels that have not ended.
    pub in_flight: usize,
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
        self.current.store(Arc::new(table.collect()));
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
        project: first.project.to_string(),
        release: first.release.to_string(),
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
