//! Keeps the table what the engine says: its events tell when to look, its list tells what there is.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    io,
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    errors::Error,
    models::{ContainerState, ContainerSummary, ContainerSummaryStateEnum, EventMessage, HealthStatusEnum},
    query_parameters::{EventsOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder},
};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use paastech_labels::{LabelKey, instance_selector, names};
use paastech_runtime::Shutdown;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{EdgeConfig, Replica, RouteTable, observe, synced::Synced};

/// Looks without an event: what the events missed is seen after this at the latest.
const WATCHDOG: Duration = Duration::from_secs(15);
/// The same right after the events were subscribed to.
const SOON: Duration = Duration::from_secs(1);
/// Events come in groups; one look answers them all.
const GATHER: Duration = Duration::from_millis(20);
/// An engine that hangs is given up on after this.
const CALL: Duration = Duration::from_secs(10);
/// Events are asked for from a little before the first look, so that none falls between.
const OVERLAP: Duration = Duration::from_secs(2);
/// The first and the longest pause while the engine is away.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Follows one engine for one installation.
pub(crate) struct Follower {
    socket: PathBuf,
    instance: String,
    key: LabelKey,
    table: Arc<RouteTable>,
    synced: Synced,
    /// What is routed beside the containers.
    api: Option<Replica>,
    /// When each container that takes traffic was started.
    started: HashMap<String, String>,
}

impl Follower {
    pub(crate) fn new(
        config: &EdgeConfig,
        key: LabelKey,
        table: Arc<RouteTable>,
        synced: Synced,
        api: Option<Replica>,
    ) -> Self {
        let (socket, instance) = (config.socket.clone(), config.instance.clone());
        Self { socket, instance, key, table, synced, api, started: HashMap::new() }
    }

    /// Follows until the shutdown drains. While the engine is away the table stays as it was.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut draining = pin!(shutdown.draining());
        let mut wait = BACKOFF.0;
        loop {
            let began = tokio::time::Instant::now();
            let error = tokio::select! {
                () = &mut draining => return,
                Err(error) = self.follow() => error,
            };
            if began.elapsed() > WATCHDOG {
                wait = BACKOFF.0;
            }
            if wait == BACKOFF.0 {
                tracing::warn!(%error, "the engine cannot be followed; routes stay as they are");
            } else {
                tracing::debug!(%error, "the engine still cannot be followed");
            }
            tokio::select! {
                () = &mut draining => return,
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(BACKOFF.1),
            }
        }
    }

    async fn follow(&mut self) -> Result<Infallible, Error> {
        let socket = self.socket.to_string_lossy();
        let docker = Docker::connect_with_unix(&socket, CALL.as_secs(), API_DEFAULT_VERSION)?;
        let docker = docker.negotiate_version().await?;
        let mut events = Box::pin(self.events(&docker));
        // The subscription begins with the first wait, so the second look comes soon.
        let mut patience = SOON;
        loop {
            self.look(&docker).await?;
            tokio::time::timeout(patience, next_that_matters(&mut events)).await.unwrap_or(Ok(()))?;
            patience = WATCHDOG;
            tokio::time::sleep(GATHER).await;
            while let Some(Some(Ok(_))) = events.next().now_or_never() {}
        }
    }

    fn events(&self, docker: &Docker) -> impl Stream<Item = Result<EventMessage, Error>> + use<> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(OVERLAP);
        let filters = HashMap::from([
            ("type", vec!["container".to_owned()]),
            ("label", vec![instance_selector(&self.instance)]),
        ]);
        let since = since.as_secs().to_string();
        docker.events(Some(EventsOptionsBuilder::new().since(&since).filters(&filters).build()))
    }

    async fn look(&mut self, docker: &Docker) -> Result<(), Error> {
        let ours = self.list(docker, None).await?;
        let healthy = self.list(docker, Some("healthy")).await?;
        let healthy: HashSet<String> = healthy.into_iter().filter_map(|container| container.id).collect();
        let mut replicas: Vec<Replica> = Vec::with_capacity(ours.len());
        for container in &ours {
            let id = container.id.as_deref().unwrap_or_default();
            let running = container.state == Some(ContainerSummaryStateEnum::RUNNING);
            let takes = healthy.contains(id) || (running && self.was_healthy(docker, id).await);
            replicas.extend(observe::replica(container, takes, &self.key, &self.instance));
        }
        let routed: Vec<Replica> = replicas.iter().chain(&self.api).cloned().collect();
        self.table.apply(&routed);
        self.synced.set();
        self.remember(docker, &replicas).await;
        Ok(())
    }

    /// Whether a container that is not listed as healthy became so since it was started, and was not found unhealthy
    /// since. An engine that was killed, and kept its containers, may have forgotten their health and never asks
    /// again; the app serves on. What cannot be seen stays as it was.
    async fn was_healthy(&self, docker: &Docker, id: &str) -> bool {
        let known = self.started.get(id);
        let state = match state(docker, id).await {
            Ok(Some(state)) => state,
            Ok(None) => return false,
            Err(error) => {
                tracing::warn!(container = id, %error, "a container cannot be seen");
                return known.is_some();
            }
        };
        let unhealthy =
            state.health.as_ref().and_then(|health| health.status) == Some(HealthStatusEnum::UNHEALTHY);
        let seen = known.is_some() && state.started_at.as_ref() == known;
        !unhealthy && (seen || has_passed(&state))
    }

    /// Keeps the start of what takes traffic now.
    async fn remember(&mut self, docker: &Docker, replicas: &[Replica]) {
        let ready: HashSet<&str> = replicas
            .iter()
            .filter(|replica| replica.ready.is_some())
            .map(|replica| replica.container.as_str())
            .collect();
        self.started.retain(|id, _| ready.contains(id.as_str()));
        for id in ready {
            if !self.started.contains_key(id)
                && let Ok(Some(ContainerState { started_at: Some(started), .. })) = state(docker, id).await
            {
                self.started.insert(id.to_owned(), started);
            }
        }
    }

    async fn list(&self, docker: &Docker, health: Option<&str>) -> Result<Vec<ContainerSummary>, Error> {
        let app = format!("{}=app", names::KIND);
        let mut filters = HashMap::from([("label", vec![instance_selector(&self.instance), app])]);
        if let Some(health) = health {
            filters.insert("health", vec![health.to_owned()]);
        }
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        docker.list_containers(Some(options)).await
    }
}

/// The container's state; `None` when it is gone.
async fn state(docker: &Docker, id: &str) -> Result<Option<ContainerState>, Error> {
    match docker.inspect_container(id, None::<InspectContainerOptions>).await {
        Ok(found) => Ok(found.state),
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the last check that the engine has kept of the container's present life passed: an edge that was not there
/// to see it can still tell.
fn has_passed(state: &ContainerState) -> bool {
    let started = state.started_at.as_deref().and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok());
    let log = state.health.as_ref().and_then(|health| health.log.as_ref());
    let (Some(started), Some(last)) = (started, log.and_then(|log| log.last())) else { return false };
    last.exit_code == Some(0) && last.start.is_some_and(|at| at >= started)
}

async fn next_that_matters(
    events: &mut (impl Stream<Item = Result<EventMessage, Error>> + Unpin),
) -> Result<(), Error> {
    loop {
        let Some(event) = events.next().await else {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        };
        if matters(&event?) {
            return Ok(());
        }
    }
}

/// Whether an event can change a route: everything but what goes on inside a container.
fn matters(event: &EventMessage) -> bool {
    let action = event.action.as_deref().unwrap_or_default();
    !action.starts_with("exec_")
        && !matches!(action, "top" | "attach" | "archive-path" | "extract-to-dir" | "resize")
}
