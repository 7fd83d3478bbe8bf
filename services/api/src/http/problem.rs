//! The one shape of a refusal: `application/problem+json` (RFC 9457) with a stable code.

use axum::response::{IntoResponse, Response};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use paastech_db::DbError;
use paastech_types::{Failure, InvalidName, Kind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{error::Error, secrets::SealError};

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// `urn:paastech:problem:<code>`.
    r#type: String,
    /// The status in words.
    title: String,
    /// The HTTP status.
    #[schema(value_type = u16)]
    #[serde(serialize_with = "as_number")]
    status: StatusCode,
    /// Stable: what a program decides by.
    code: String,
    /// One sentence for a person.
    detail: String,
    /// The field of the request that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip)]
    retry_after: Option<u64>,
}

fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            r#type: format!("urn:paastech:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status,
            code: code.to_owned(),
            detail: detail.into(),
            field: None,
            retry_after: None,
        }
    }

    /// A field that cannot be taken as it is: 422.
    pub(crate) fn invalid(field: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail).field(field)
    }

    /// 404, for what is absent and for what is not the caller's alike.
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here")
    }

    /// 401.
    pub(crate) fn unauthenticated(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
    }

    /// 403: the caller may know the thing exists, but lacks this permission.
    pub(crate) fn forbidden(permission: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", format!("needs the permission {permission}"))
    }

    /// 409.
    pub(crate) fn conflict(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 412.
    pub(crate) fn changed() -> Self {
        let detail = "it has changed since the version named by If-Match";
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition", detail)
    }

    /// 429.
    pub(crate) fn too_many() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "too many requests; wait a little")
    }

    /// 503.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }

    /// 500. The text goes to the log alone.
    pub(crate) fn internal(what: &str) -> Self {
        tracing::error!(error = what, "internal error");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "internal error")
    }

    pub(crate) fn field(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }

    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let waits = matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        if let Some(seconds) = self.retry_after.or(waits.then_some(5)) {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind.http(), failure.kind.name(), failure.message)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match &error {
            Error::Db(DbError::Unavailable(cause)) => {
                tracing::warn!(error = %cause, "the database is not available");
                Self::unavailable("the database is not available")
            }
            Error::Failure(failure) if failure.kind == Kind::Internal => Self::internal(&failure.message),
            _ => Failure::from(error).into(),
        }
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        Error::from(error).into()
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<SealError> for Problem {
    fn from(error: SealError) -> Self {
        Error::from(error).into()
    }
}

/// A neighbour's answer. What it cannot do now is 503; what it calls wrong is the client's to mend.
impl From<tonic::Status> for Problem {
    fn from(status: tonic::Status) -> Self {
        let failure = Failure::from(status);
        match failure.kind {
            Kind::Internal | Kind::Unauthenticated | Kind::Forbidden => {
                tracing::error!(error = %failure.message, "a neighbour failed");
                Self::unavailable("a service behind the api failed; try again")
            }
            Kind::Unavailable | Kind::Timeout => {
                tracing::warn!(error = %failure.message, "a neighbour does not answer");
                Self::unavailable("a service behind the api does not answer; try again")
            }
            _ => failure.into(),
        }
    }
}

impl Problem {
    /// A text that is no name of its kind.
    pub(crate) fn name(field: &str, error: &InvalidName) -> Self {
        Self::invalid(field, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_wait_says_how_long() {
        for problem in [Problem::too_many(), Problem::unavailable("x"), Problem::too_many().retry_after(9)] {
            let expected = problem.retry_after.unwrap_or(5).to_string();
            let response = problem.into_response();
            assert_eq!(response.headers()[RETRY_AFTER].to_str().expect("text"), expected);
        }
    }

    #[test]
    fn no_failure_of_a_neighbour_is_a_bad_gateway_or_a_500() {
        for code in 1..=16 {
            let status = tonic::Status::new(tonic::Code::from_i32(code), "x");
            assert!(!matches!(Problem::from(status).status().as_u16(), 500 | 502 | 504), "{code}");
        }
    }
}
