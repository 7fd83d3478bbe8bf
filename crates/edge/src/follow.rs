//! Keeps the table what the engine says: its events tell when to look, its list tells what there is.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    models::{ContainerSummary, EventMessage},
    query_parameters::{EventsOptionsBuilder, ListContainersOptionsBuilder},
};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use paastech_labels::{LabelKey, instance_selector, names};
use paastech_runtime::Shutdown;

use crate::{Replica, RouteTable, observe};

/// Looks without an event: what an event may have missed is seen after this at the latest.
const WATCHDOG: Duration = Duration::from_secs(15);
/// Events come in groups; one look answers them all.
const GATHER: Duration = Duration::from_millis(20);
/// An engine that hangs is given up on after this.
const CALL: Duration = Duration::from_secs(10);
/// Events are asked for from a little before the first look, so that none falls between.
const OVERLAP: Duration = Duration::from_secs(2);
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Whether the engine has been listed once.
#[derive(Clone, Default)]
pub(crate) struct Synced(Arc<AtomicBool>);

impl Synced {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What is followed, and with which key.
pub(crate) struct Follower {
    pub(crate) socket: PathBuf,
    pub(crate) instance: String,
    pub(crate) key: LabelKey,
    pub(crate) table: Arc<RouteTable>,
    pub(crate) synced: Synced,
}

impl Follower {
    /// Follows until the shutdown drains. While the engine is away the table stays as it was.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let following = async {
            let mut wait = BACKOFF.0;
            loop {
                let began = tokio::time::Instant::now();
                let Err(error) = self.follow().await;
                if began.elapsed() > WATCHDOG {
                    wait = BACKOFF.0;
                }
                tracing::warn!(%error, "the engine cannot be followed; routes stay as they are");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(BACKOFF.1);
            }
        };
        tokio::select! {
            () = shutdown.draining() => {}
            () = following => {}
        }
    }

    async fn follow(&self) -> Result<std::convert::Infallible, bollard::errors::Error> {
        let socket = self.socket.to_string_lossy();
        let docker = Docker::connect_with_unix(&socket, CALL.as_secs(), API_DEFAULT_VERSION)?;
        let docker = docker.negotiate_version().await?;
        let mut events = Box::pin(self.events(&docker));
        // Polled once, so that the request goes out before the first look.
        let mut pending = events.next().now_or_never();
        loop {
            self.look(&docker).await?;
            loop {
                let event = match pending.take() {
                    Some(event) => Some(event),
                    None => tokio::time::timeout(WATCHDOG, events.next()).await.ok(),
                };
                match event {
                    Some(Some(Ok(event))) if !matters(&event) => {}
                    Some(Some(Ok(_))) | None => break,
                    Some(Some(Err(error))) => return Err(error),
                    Some(None) => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
                }
            }
            tokio::time::sleep(GATHER).await;
            while let Some(Some(Ok(_))) = events.next().now_or_never() {}
        }
    }

    fn events(
        &self,
        docker: &Docker,
    ) -> impl Stream<Item = Result<EventMessage, bollard::errors::Error>> + use<> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(OVERLAP);
        let filters = HashMap::from([
            ("type", vec!["container".to_owned()]),
            ("label", vec![instance_selector(&self.instance)]),
        ]);
        let options =
            EventsOptionsBuilder::new().since(&since.as_secs().to_string()).filters(&filters).build();
        docker.events(Some(options))
    }

    async fn look(&self, docker: &Docker) -> Result<(), bollard::errors::Error> {
        let ours = self.list(docker, &[]).await?;
        let healthy: HashSet<Option<String>> = self
            .list(docker, &[("health", "healthy")])
            .await?
            .into_iter()
            .map(|container| container.id)
            .collect();
        let replicas: Vec<Replica> = ours
            .iter()
            .filter_map(|container| {
                observe::replica(container, healthy.contains(&container.id), &self.key, &self.instance)
            })
            .collect();
        self.table.apply(&replicas);
        self.synced.set();
        Ok(())
    }

    async fn list(
        &self,
        docker: &Docker,
        more: &[(&str, &str)],
    ) -> Result<Vec<ContainerSummary>, bollard::errors::Error> {
        let mut filters: HashMap<&str, Vec<String>> =
            more.iter().map(|(name, value)| (*name, vec![(*value).to_owned()])).collect();
        let app = format!("{}=app", names::KIND);
        filters.insert("label", vec![instance_selector(&self.instance), app]);
        docker
            .list_containers(Some(ListContainersOptionsBuilder::new().all(true).filters(&filters).build()))
            .await
    }
}

/// Whether an event can change a route: everything but what goes on inside a container.
fn matters(event: &EventMessage) -> bool {
    let action = event.action.as_deref().unwrap_or_default();
    !action.starts_with("exec_")
        && !matches!(action, "top" | "attach" | "archive-path" | "extract-to-dir" | "resize")
}
