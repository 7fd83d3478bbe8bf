//! Answers that go on: Server-Sent Events where the client asks for them, JSON lines otherwise.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// So often a silent stream shows that it lives.
const PULSE: Duration = Duration::from_secs(15);

/// One thing that is told.
pub(crate) struct Item {
    /// From where a client resumes.
    pub(crate) id: Option<u64>,
    pub(crate) event: &'static str,
    pub(crate) data: Value,
}

/// Where a client of Server-Sent Events left off.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.trim().parse().ok()
}

/// The stream in the form that was asked for; it ends when the process stops.
pub(crate) fn respond<S>(headers: &HeaderMap, items: S, stopping: CancellationToken) -> Response
where
    S: Stream<Item = Item> + Send + 'static,
{
    let items = items.take_until(stopping.cancelled_owned());
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut response = if accept.contains("text/event-stream") { events(items) } else { lines(items) };
    // Proxies that gather an answer would hold back what is told.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn events<S: Stream<Item = Item> + Send + 'static>(items: S) -> Response {
    let events = items.map(|item| {
        let event = Event::default().event(item.event).data(item.data.to_string());
        Ok::<_, Infallible>(match item.id {
            Some(id) => event.id(id.to_string()),
            None => event,
        })
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(PULSE)).into_response()
}

fn lines<S: Stream<Item = Item> + Send + 'static>(items: S) -> Response {
    let told = items.map(|item| Bytes::from(format!("{}\n", item.data)));
    let pulse = stream::unfold((), |()| async {
        tokio::time::sleep(PULSE).await;
        Some((Bytes::from_static(b"\n"), ()))
    });
    // The pulse has no end of its own: it goes when what is told has ended.
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    let told = told.chain(stream::once(async move {
        drop(ended);
        Bytes::new()
    }));
    let both = stream::select(told, pulse.take_until(end)).map(Ok::<_, Infallible>);
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(both)).into_response()
}
