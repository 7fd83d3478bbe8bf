//! `ETag` on every JSON answer to a GET, and `If-None-Match`: 304 for what the client has already.

use axum::{body::Body, extract::Request, middleware::Next, response::Response};
use http::{
    HeaderValue, Method, StatusCode,
    header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH},
};
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};

/// Tags answers that no handler has tagged by their content, then compares.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let read = matches!(*request.method(), Method::GET | Method::HEAD);
    let known = request.headers().get(IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    if !read || response.status() != StatusCode::OK || !is_whole(&response) {
        return response;
    }
    let response = tag(response).await;
    match (known, response.headers().get(ETAG)) {
        (Some(known), Some(tag)) if matches(&known, tag) => not_modified(response),
        _ => response,
    }
}

/// Streams are not tagged.
fn is_whole(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/json") || kind.starts_with("text/html"))
}

async fn tag(response: Response) -> Response {
    if response.headers().contains_key(ETAG) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let digest = hex::encode(&Sha256::digest(&bytes)[..12]);
    if let Ok(value) = HeaderValue::try_from(format!("\"{digest}\"")) {
        parts.headers.insert(ETAG, value);
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn matches(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else { return false };
    known.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

fn not_modified(response: Response) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::NOT_MODIFIED;
    parts.headers.remove(CONTENT_TYPE);
    parts.headers.remove(http::header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::empty())
}
