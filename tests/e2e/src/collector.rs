//! A collector of traces, which can be told to answer no more.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Result;
use axum::{Router, body::Bytes, extract::State, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::ResourceSpans,
};
use prost::Message as _;
use tokio::{net::TcpListener, task::JoinHandle};

/// A span, as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) trace: Vec<u8>,
    pub(crate) id: Vec<u8>,
    /// Empty: it is its trace's first.
    pub(crate) parent: Vec<u8>,
    pub(crate) attributes: Vec<KeyValue>,
}

#[derive(Default)]
struct Shared {
    spans: Mutex<Vec<Span>>,
    silent: AtomicBool,
}

/// Listens until it is dropped.
pub(crate) struct Collector {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Collector {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (shared, address) = (Arc::<Shared>::default(), listener.local_addr()?);
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Ok(Self { shared, address, task })
    }

    /// Where it takes traces.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1/traces", self.address)
    }

    /// All that has arrived.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.shared.spans.lock().expect("no holder panics").clone()
    }

    /// From now on it takes connections and requests, and answers none.
    pub(crate) fn fall_silent(&self) {
        self.shared.silent.store(true, Ordering::SeqCst);
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(shared): State<Arc<Shared>>, body: Bytes) {
    if shared.silent.load(Ordering::SeqCst) {
        return std::future::pending().await;
    }
    let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
    let spans = request.resource_spans.into_iter().flat_map(spans);
    shared.spans.lock().expect("no holder panics").extend(spans);
}

fn spans(of: ResourceSpans) -> Vec<Span> {
    let attributes = of.resource.map(|resource| resource.attributes).unwrap_or_default();
    let service = attributes.iter().find(|attribute| attribute.key == "service.name").and_then(text);
    let service = service.unwrap_or_default();
    let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
    let span = |span: opentelemetry_proto::tonic::trace::v1::Span| Span {
        service: service.clone(),
        name: span.name,
        trace: span.trace_id,
        id: span.span_id,
        parent: span.parent_span_id,
        attributes: span.attributes,
    };
    spans.map(span).collect()
}

fn text(attribute: &KeyValue) -> Option<String> {
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}
