//! Bodies of answers: the engine's, passed on, or a short text of ours.

use std::io;

use bytes::Bytes;
use http::{Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};

/// What the gate answers with.
pub(crate) type Answer = Response<BoxBody<Bytes, io::Error>>;

/// An error in the engine's own shape.
pub(crate) fn error(status: StatusCode, message: &str) -> Answer {
    json(status, &serde_json::json!({ "message": message }))
}

/// A JSON document.
pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    let body = Full::new(Bytes::from(value.to_string())).map_err(|never| match never {}).boxed();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    answer
}
