//! Traces by OTLP over HTTP, to a collector that may be slow or away: nothing waits for it, and what it does not take
//! is dropped.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{IdGenerator, RandomIdGenerator, SdkTracerProvider, Tracer},
};
use serde::{Deserialize, Serialize};
use tokio::{runtime::Handle, time::timeout};

use crate::trace::BEGINS;

/// The longest that the collector may take for one delivery.
const WITHIN: Duration = Duration::from_secs(5);
/// The longest that the end of the process waits for the last delivery.
const LAST: Duration = Duration::from_secs(2);
const ANSWER_LIMIT: usize = 64 << 10;

/// A collector's address: `http://host:4318/v1/traces`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Collector(Uri);

impl TryFrom<String> for Collector {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let uri = text.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("http"));
        match uri.filter(|uri| uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))) {
            Some(uri) => Ok(Self(uri)),
            // Not the text itself: there may be a password in it.
            None => Err("tracing.otlp: not an address like http://127.0.0.1:4318/v1/traces".to_owned()),
        }
    }
}

impl From<Collector> for String {
    fn from(collector: Collector) -> String {
        collector.0.to_string()
    }
}

/// The traces of this process; dropped, it delivers the last of them.
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// No traces, or those of `service` to the collector.
    pub(super) fn of(service: &'static str, collector: Option<&Collector>) -> anyhow::Result<Self> {
        let Some(Collector(uri)) = collector else { return Ok(Self(None)) };
        let client = Delivery {
            client: Client::builder(TokioExecutor::new()).build_http(),
            runtime: Handle::current(),
            fails: AtomicBool::new(false),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(uri.to_string())
            .with_timeout(WITHIN)
            .build()?;
        let resource =
            Resource::builder_empty().with_attribute(KeyValue::new("service.name", service)).build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_id_generator(Ids::default())
            .with_resource(resource);
        Ok(Self(Some(provider.build())))
    }

    pub(super) fn tracer(&self) -> Option<Tracer> {
        self.0.as_ref().map(|provider| provider.tracer("paastech"))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(provider) = &self.0 {
            // What is not taken by then is lost, as it would be at any other time.
            drop(provider.shutdown_with_timeout(LAST));
        }
    }
}

/// The ids that the services have agreed on, for the first span of a trace here.
#[derive(Debug, Default)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> opentelemetry::TraceId {
        match BEGINS.get() {
            0 => self.0.new_trace_id(),
            id => id.into(),
        }
    }

    fn new_span_id(&self) -> opentelemetry::SpanId {
        self.0.new_span_id()
    }
}

/// Sends on our runtime what the exporter's own thread waits for.
#[derive(Debug)]
struct Delivery {
    client: Client<HttpConnector, Full<Bytes>>,
    runtime: Handle,
    /// Said so already.
    fails: AtomicBool,
}

#[tonic::async_trait]
impl HttpClient for Delivery {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.client.request(request.map(Full::new));
        let answer = async {
            let (head, body) = sent.await?.into_parts();
            let body = Limited::new(body, ANSWER_LIMIT).collect().await?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let answer = match self.runtime.spawn(async move { timeout(WITHIN, answer).await }).await? {
            Ok(answer) => answer,
            Err(_) => Err(HttpError::from(io::Error::from(io::ErrorKind::TimedOut))),
        };
        let taken = answer.as_ref().is_ok_and(|answer| answer.status().is_success());
        if self.fails.swap(!taken, Ordering::Relaxed) == taken {
            if taken {
                tracing::info!("the collector takes traces again");
            } else {
                let answered = answer.as_ref().ok().map(|answer| answer.status().as_u16());
                let error = answer.as_ref().err().map(tracing::field::display);
                tracing::warn!(answered, error, "the collector does not take traces: they are dropped");
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_plain_http_and_holds_no_password() {
        assert!(Collector::try_from("http://127.0.0.1:4318/v1/traces".to_owned()).is_ok());
        for text in
            ["", "127.0.0.1:4318", "https://a/v1/traces", "http://me:hunter2@a/", "ftp://a/", "http://"]
        {
            let error = Collector::try_from(text.to_owned()).expect_err(text);
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
