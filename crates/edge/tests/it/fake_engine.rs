//! An engine's socket with just enough behind it to be followed, to die, and to forget.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::UnixListener, sync::broadcast, task::JoinSet};

use crate::app::{Body, text};

/// A container as the engine has it.
#[derive(Clone)]
pub(crate) struct Container {
    pub(crate) labels: Value,
    pub(crate) health: &'static str,
    pub(crate) started_at: &'static str,
    /// When each check began that the engine has kept, and its exit code.
    pub(crate) checks: &'static [(&'static str, i64)],
    /// Looking at it fails.
    pub(crate) broken: bool,
}

/// What outlives the engine's process.
#[derive(Clone)]
pub(crate) struct World {
    container: Arc<Mutex<Container>>,
    listed: Arc<Mutex<usize>>,
    events: broadcast::Sender<()>,
}

/// The engine's process; killed when dropped.
pub(crate) struct Engine {
    _task: JoinSet<()>,
    path: PathBuf,
}

impl World {
    pub(crate) fn new(container: Container) -> Self {
        let (events, _) = broadcast::channel(16);
        Self { container: Arc::new(Mutex::new(container)), listed: Arc::default(), events }
    }

    /// Changes the container, and sends an event.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Container)) {
        change(&mut self.container.lock().expect("not poisoned"));
        self.events.send(()).ok();
    }

    /// How often it has been listed.
    pub(crate) fn listed(&self) -> usize {
        *self.listed.lock().expect("not poisoned")
    }

    pub(crate) fn start(&self, path: &Path) -> Engine {
        let listener = UnixListener::bind(path).expect("a socket");
        let world = self.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let world = world.clone();
                let service = service_fn(move |request| {
                    let answer = world.answer(&request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                connections.spawn(async move {
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
        });
        Engine { _task: task, path: path.to_owned() }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let container = self.container.lock().expect("not poisoned").clone();
        let path = request.uri().path();
        if path.ends_with("/version") {
            return text(json!({ "ApiVersion": "1.41" }).to_string());
        }
        if path.ends_with("/events") {
            return self.stream_events();
        }
        if path.ends_with("/containers/json") {
            *self.listed.lock().expect("not poisoned") += 1;
            let only_healthy = request.uri().query().is_some_and(|query| query.contains("healthy"));
            let fits = !only_healthy || container.health == "healthy";
            return text(Value::from_iter(fits.then(|| summary(&container))).to_string());
        }
        if container.broken {
            let mut response = text(json!({ "message": "layer does not exist" }).to_string());
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            return response;
        }
        let check = |(start, code): &(&str, i64)| json!({ "Start": start, "End": start, "ExitCode": code });
        let log: Vec<Value> = container.checks.iter().map(check).collect();
        let health = json!({ "Status": container.health, "Log": log });
        let state = json!({ "StartedAt": container.started_at, "Health": health });
        text(json!({ "Id": "c1", "State": state }).to_string())
    }

    fn stream_events(&self) -> Response<Body> {
        let events = futures_util::stream::unfold(self.events.subscribe(), |mut events| async move {
            events.recv().await.ok()?;
            let line = format!("{}\n", json!({ "Type": "container", "Action": "health_status" }));
            Some((Ok(Frame::data(Bytes::from(line))), events))
        });
        Response::new(StreamBody::new(events).boxed())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).ok();
    }
}

fn summary(container: &Container) -> Value {
    json!({
        "Id": "c1",
        "State": "running",
        "Labels": container.labels,
        "NetworkSettings": { "Networks": { "pt-0": { "IPAddress": "127.0.0.1" } } },
    })
}
