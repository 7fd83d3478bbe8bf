//! Serves one build's socket.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::TryStreamExt as _;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use paastech_runtime::Chunks;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::{
    answer::{Answer, error, json as json_answer},
    call::{self, Call},
    engine, load, metrics,
    reference::normal,
    server,
};

/// An answer that is read whole before it is passed on.
const ANSWER_LIMIT: usize = 4 << 20;

/// What one build may touch. References in any spelling.
#[derive(Debug, Clone)]
pub struct Build {
    /// The image it makes: may be loaded, and looked at.
    pub target: String,
    /// Images it may look at and read: the run image and the project's previous image, by name and by id.
    pub readable: Vec<String>,
    /// The most bytes of layers that an image may have.
    pub image_bytes: u64,
}

/// An open gate; dropped, it is shut and its socket gone.
#[derive(Debug)]
pub struct Gate {
    socket: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

struct State {
    engine: PathBuf,
    target: Allowed,
    readable: Vec<Allowed>,
    image_bytes: u64,
}

/// An image that may be asked for.
struct Allowed {
    /// As it is compared.
    normal: String,
    /// As the engine is asked for it.
    name: String,
}

impl Allowed {
    fn new(name: &str) -> Option<Self> {
        Some(Self { normal: normal(name)?, name: name.to_owned() })
    }
}

impl Gate {
    /// Opens the socket `socket`, for whoever can reach its directory, in front of the engine at `engine`.
    pub fn open(socket: &Path, engine: &Path, build: &Build) -> io::Result<Self> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidInput, "not an image reference");
        let readable: Option<Vec<_>> = build.readable.iter().map(|name| Allowed::new(name)).collect();
        let state = State {
            engine: engine.to_owned(),
            target: Allowed::new(&build.target).ok_or_else(malformed)?,
            readable: readable.ok_or_else(malformed)?,
            image_bytes: build.image_bytes,
        };
        let (listener, state) = (server::bind(socket)?, Arc::new(state));
        let task = tokio::spawn(server::serve(listener, move |request| {
            let state = Arc::clone(&state);
            async move {
                let answer = answer(&state, request).await;
                metrics::count("build", answer.status());
                answer
            }
        }));
        Ok(Self { socket: socket.to_owned(), task })
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
        if let Err(error) = fs::remove_file(&self.socket) {
            tracing::warn!(%error, "a gate's socket cannot be removed");
        }
    }
}

async fn answer(state: &State, request: Request<Incoming>) -> Answer {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let parsed = call::parse(&method, uri.path(), uri.query());
    let parsed = parsed.and_then(|parsed| Some((parsed.version, state.allowed(parsed.call)?)));
    let Some((version, call)) = parsed else {
        tracing::warn!(%method, path = uri.path(), "an engine gate refused a request");
        return error(StatusCode::FORBIDDEN, "this build may not ask the engine for that");
    };
    let prefix = version.map(|version| format!("/{version}")).unwrap_or_default();
    match state.forward(&prefix, call, request.into_body()).await {
        Ok(answer) => {
            tracing::debug!(%method, path = uri.path(), status = answer.status().as_u16(), "an engine gate passed a request");
            answer
        }
        Err(failure) => {
            tracing::warn!(%method, path = uri.path(), error = %failure, "an engine gate could not pass a request");
            error(StatusCode::BAD_GATEWAY, "the engine does not answer")
        }
    }
}

impl State {
    /// The call as it is passed on: about an allowed image, by our name for it.
    fn allowed(&self, call: Call) -> Option<Call> {
        let name = |reference: &String| {
            let mut all = std::iter::once(&self.target).chain(&self.readable);
            all.find(|image| image.normal == *reference).map(|image| image.name.clone())
        };
        Some(match &call {
            Call::Ping | Call::Version | Call::Info | Call::Load => call,
            Call::Inspect(reference) => Call::Inspect(name(reference)?),
            Call::History(reference) => Call::History(name(reference)?),
            Call::Save(reference) => Call::Save(name(reference)?),
            // The id that was loaded is not known here: the engine says which it is before a name is given.
            Call::Tag { name, .. } => (*name == self.target.normal).then_some(call)?,
        })
    }

    async fn forward(&self, prefix: &str, call: Call, body: Incoming) -> io::Result<Answer> {
        let get = |path: String| async move {
            let target = format!("{prefix}{path}");
            engine::send(&self.engine, Method::GET, &target, engine::empty()).await
        };
        let answer = match call {
            Call::Ping => {
                let target = format!("{prefix}/_ping");
                engine::send(&self.engine, Method::HEAD, &target, engine::empty()).await?
            }
            Call::Version => get("/version".to_owned()).await?,
            Call::Info => return stripped(get("/info".to_owned()).await?).await,
            Call::Inspect(reference) => get(format!("/images/{reference}/json")).await?,
            Call::History(reference) => get(format!("/images/{reference}/history")).await?,
            Call::Save(reference) => {
                let name = utf8_percent_encode(&reference, NON_ALPHANUMERIC);
                get(format!("/images/get?names={name}")).await?
            }
            Call::Load => return self.load(prefix, body).await,
            Call::Tag { reference, .. } => return self.tag(prefix, &reference).await,
        };
        Ok(passed_on(answer))
    }

    /// The image has its name already; that of another is not given to it.
    async fn tag(&self, prefix: &str, reference: &str) -> io::Result<Answer> {
        let path = format!("{prefix}/images/{}/json", self.target.name);
        let target = engine::send(&self.engine, Method::GET, &path, engine::empty()).await?;
        let id = whole(target).await?.1["Id"].take();
        if reference == self.target.normal || id.as_str() == Some(reference) {
            return Ok(json_answer(StatusCode::CREATED, &Value::Null));
        }
        tracing::warn!(reference, "an engine gate refused to name an image");
        Ok(error(StatusCode::FORBIDDEN, "this build may not name that image"))
    }

    async fn load(&self, prefix: &str, body: Incoming) -> io::Result<Answer> {
        let from = SyncIoBridge::new(StreamReader::new(body.into_data_stream().map_err(io::Error::other)));
        let (send, receive) = tokio::sync::mpsc::channel(4);
        let (target, limit) = (self.target.name.clone(), self.image_bytes);
        let copy = tokio::task::spawn_blocking(move || {
            let to = Chunks::new(|chunk| {
                send.blocking_send(Ok(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into())
            });
            let outcome = load::copy(from, to, &target, limit);
            if outcome.is_err() {
                // Without this the engine would take what it has for all.
                drop(send.blocking_send(Err(io::Error::other("cut off"))));
            }
            outcome
        });
        let stream = ReceiverStream::new(receive).map_ok(Frame::data);
        let body = BoxBody::new(StreamBody::new(stream));
        let loaded =
            engine::send(&self.engine, Method::POST, &format!("{prefix}/images/load?quiet=1"), body).await;
        match copy.await.map_err(io::Error::other)? {
            Err(load::Error::Refused(why)) => {
                tracing::warn!(why, "an engine gate cut an image off");
                Ok(error(StatusCode::FORBIDDEN, &format!("this image may not be loaded: {why}")))
            }
            Err(load::Error::Io(failure)) => Err(failure),
            Ok(()) => Ok(passed_on(loaded?)),
        }
    }
}

/// Of what the engine tells about the host, that which the lifecycle looks at.
async fn stripped(answer: http::Response<Incoming>) -> io::Result<Answer> {
    let (status, info) = whole(answer).await?;
    let kept = ["Driver", "DriverStatus", "OSType", "Architecture", "ServerVersion"];
    let kept = kept.map(|name| (name.to_owned(), info[name].clone()));
    Ok(json_answer(status, &json!(serde_json::Map::from_iter(kept))))
}

/// An answer's document.
pub(crate) async fn whole(answer: http::Response<Incoming>) -> io::Result<(StatusCode, Value)> {
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_LIMIT).collect().await.map_err(io::Error::other)?;
    Ok((status, serde_json::from_slice(&body.to_bytes())?))
}

/// An answer as it comes.
pub(crate) fn passed_on(answer: http::Response<Incoming>) -> Answer {
    answer.map(|body| body.map_err(io::Error::other).boxed())
}
