//! What a handler takes from a request, and how a wrong one is refused: body, query, conditions.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, IF_MATCH},
    request::Parts,
};
use http_body_util::BodyExt as _;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::problem::Problem;
use crate::app::App;

/// The largest body that is taken.
pub(crate) const MAX_BODY: usize = 1 << 20;
/// A larger one is read to its end, up to here, so that its sender is still there to read the answer.
const MAX_DISCARDED: usize = 64 << 20;
const BODY_TIME: Duration = Duration::from_secs(20);

/// A JSON body that is exactly a `T`: unknown fields are refused.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &App) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "the body must be application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
        let body = read_body(request.into_body()).await?;
        parse(&body).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// The whole body, or why not.
pub(crate) async fn read_body(body: axum::body::Body) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_TIME, collect(body)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let detail = "the body did not arrive in time";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail))
        }
    }
}

async fn collect(mut body: axum::body::Body) -> Result<Bytes, Problem> {
    let mut kept = BytesMut::new();
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| malformed("the body ended too early"))?;
        let Some(data) = frame.data_ref() else { continue };
        seen += data.len();
        if seen > MAX_DISCARDED {
            break;
        }
        if seen <= MAX_BODY {
            kept.extend_from_slice(data);
        }
    }
    if seen > MAX_BODY {
        let detail = format!("the body is larger than {MAX_BODY} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail));
    }
    Ok(kept.freeze())
}

fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed", detail)
}

/// 400 for what is no JSON, 422 with the field for JSON of another shape.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    // serde takes an array for a struct; our clients send objects.
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'{') && serde_json::from_slice::<IgnoredAny>(body).is_ok() {
        return Err(Problem::invalid("", "the body must be a JSON object"));
    }
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        // An array that breaks off is no JSON, whatever its first item is.
        if cause.is_data() && first == Some(&b'{') {
            shape(&path, &cause.to_string())
        } else {
            malformed(format!("no JSON: {cause}"))
        }
    })?;
    json.end().map_err(|error| malformed(format!("no JSON: {error}")))?;
    Ok(value)
}

/// A problem that names the field, from serde's text.
fn shape(path: &str, text: &str) -> Problem {
    let text = text.split(" at line ").next().unwrap_or(text);
    let named = ["unknown field `", "missing field `", "duplicate field `"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix)?.split('`').next());
    match (path, named) {
        (".", None) => Problem::invalid("", text),
        (".", Some(field)) => Problem::invalid(field, text),
        (path, Some(field)) if path != field && !path.ends_with(&format!(".{field}")) => {
            Problem::invalid(&format!("{path}.{field}"), text)
        }
        (path, _) => Problem::invalid(path, text),
    }
}

/// The query string, exactly a `T`.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, app).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let text = rejection.body_text();
                let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_query", text))
            }
        }
    }
}

/// The parts of the path. What does not parse cannot exist: 404.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, app).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_) => Err(Problem::not_found()),
        }
    }
}

/// The condition of a change: `If-Match`.
pub(crate) struct IfMatch(Option<String>);

impl IfMatch {
    /// Refuses a change of something that is no longer what the client saw.
    pub(crate) fn check(&self, etag: &str) -> Result<(), Problem> {
        match &self.0 {
            None => Ok(()),
            Some(tags) if tags.split(',').any(|tag| matches!(tag.trim(), t if t == "*" || t == etag)) => {
                Ok(())
            }
            Some(_) => Err(Problem::changed()),
        }
    }
}

impl FromRequestParts<App> for IfMatch {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Self::Rejection> {
        let header = parts.headers.get(IF_MATCH);
        // A header that is no text matches nothing.
        Ok(Self(header.map(|value| value.to_str().unwrap_or_default().to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use paastech_types::Slug;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only its parsing is tested")]
        slug: Slug,
        #[serde(default)]
        #[expect(dead_code, reason = "only its parsing is tested")]
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only its parsing is tested")]
        count: u32,
    }

    fn refused(body: &str) -> (u16, Option<String>) {
        let problem = parse::<Sample>(body.as_bytes()).expect_err(body);
        let json = serde_json::to_value(&problem).expect("JSON");
        (problem.status().as_u16(), json["field"].as_str().map(str::to_owned))
    }

    #[test]
    fn a_wrong_body_is_refused_by_the_field_at_fault() {
        let field = |name: &str| (422, Some(name.to_owned()));
        assert_eq!(refused(r#"{"slug":"A"}"#), field("slug"));
        assert_eq!(refused(r#"{"slug":1}"#), field("slug"));
        assert_eq!(refused(r"{}"), field("slug"));
        assert_eq!(refused(r#"{"slug":"a","slog":1}"#), field("slog"));
        assert_eq!(refused(r#"{"slug":"a","slug":"b"}"#), field("slug"));
        assert_eq!(refused(r#"{"slug":"a","inner":{"count":"x"}}"#), field("inner.count"));
        assert_eq!(refused(r#"{"slug":"a","inner":{"size":1}}"#), field("inner.size"));
        for text in ["", "{", "{\"slug\":", "nope", "{} {}", "\u{0}"] {
            assert_eq!(refused(text).0, if text == "{} {}" { 422 } else { 400 }, "{text:?}");
        }
    }
}
