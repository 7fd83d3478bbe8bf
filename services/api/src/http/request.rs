//! What happens around every request: its id and trace, one log line, headers that every answer has.

use std::{
    any::Any,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use paastech_runtime::trace::Trace;
use tracing::Instrument as _;

use super::problem::Problem;
use crate::metrics::METRICS;

const COUNTED: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Traces a request and logs its end.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let trace = Trace::from_headers(request.headers());
    let method = request.method().clone();
    // The pattern, not the path: what people put into a path stays out of the log.
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let span = trace.begin(tracing::info_span!(
        "request", %method, http.route = route.as_deref().unwrap_or("-"), trace.id = %trace
    ));
    let began = Instant::now();
    let mut response = trace.scope(next.run(request).instrument(span.clone())).await;
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(trace.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    count(&method, route, response.status(), began.elapsed());
    span.in_scope(|| tracing::info!(status = response.status().as_u16(), duration_ms, "answered"));
    response
}

fn count(method: &Method, route: Option<String>, status: StatusCode, took: Duration) {
    // A method may be any word that a client likes.
    let method = if COUNTED.contains(method) { method.as_str() } else { "other" }.to_owned();
    let route = route.unwrap_or_else(|| "none".to_owned());
    METRICS.requests.with([method.clone(), route.clone(), status.as_str().to_owned()]).inc();
    METRICS.request_durations.with([method, route]).observe(took.as_secs_f64());
}

/// Runs a request that changes something in a task of its own: a client that goes away cannot cut it in half.
pub(crate) async fn detach(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    let work = Trace::current().scope(next.run(request)).in_current_span();
    match tokio::spawn(work).await {
        Ok(response) => response,
        Err(panic) => {
            on_panic(panic.try_into_panic().unwrap_or_else(|_| Box::new("a request was cancelled")))
        }
    }
}

/// A panic is a defect of ours: 500, with its text in the log alone.
pub(crate) fn on_panic(panic: Box<dyn Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic");
    Problem::internal(text).into_response()
}
