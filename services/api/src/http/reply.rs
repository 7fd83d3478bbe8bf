//! Answers: JSON with an `ETag`, created things with their `Location`, accepted operations, pages.

use axum::response::{IntoResponse, Response};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, ETAG, LOCATION},
};
use paastech_types::ProjectId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use crate::store::Page;

/// The tag of a row that counts its versions.
pub(crate) fn etag(version: i64) -> String {
    format!("\"v{version}\"")
}

/// A body as JSON, with what goes into the head.
pub(crate) struct Reply<T> {
    status: StatusCode,
    etag: Option<String>,
    location: Option<String>,
    body: T,
}

impl<T: Serialize> Reply<T> {
    /// 200.
    pub(crate) fn ok(body: T) -> Self {
        Self { status: StatusCode::OK, etag: None, location: None, body }
    }

    /// 201, found from now on at `location`.
    pub(crate) fn created(location: String, body: T) -> Self {
        Self { status: StatusCode::CREATED, location: Some(location), ..Self::ok(body) }
    }

    /// 202: the operation at `location` does the rest.
    pub(crate) fn accepted(location: String, body: T) -> Self {
        Self { status: StatusCode::ACCEPTED, location: Some(location), ..Self::ok(body) }
    }

    /// The tag of this version; without it, the tag is a hash of the body.
    pub(crate) fn version(mut self, version: i64) -> Self {
        self.etag = Some(etag(version));
        self
    }
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        let Ok(body) = serde_json::to_vec(&self.body) else {
            return Problem::internal("a reply cannot be written").into_response();
        };
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in [(ETAG, self.etag), (LOCATION, self.location)] {
            if let Some(value) = value.and_then(|text| HeaderValue::try_from(text).ok()) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// Which page of a collection.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// How many items at most: 1 to 100, 50 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl PageQuery {
    /// A validated page of a collection in the order of ids.
    pub(crate) fn page(self) -> Result<Page, Problem> {
        page(self.limit, self.cursor)
    }
}

/// A validated page; `limit` counts one row more than is shown, to see whether there are more.
pub(crate) fn page(limit: Option<u32>, cursor: Option<String>) -> Result<Page, Problem> {
    let limit = limit.unwrap_or(50);
    if !(1..=100).contains(&limit) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_query", "limit: must be 1 to 100"));
    }
    let after = match cursor.map(|text| text.parse::<ProjectId>()) {
        None => String::new(),
        // Every cursor is some row's id, whatever its kind.
        Some(Ok(id)) => id.to_string(),
        Some(Err(_)) => {
            let detail = "cursor: not one that this api gave";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail));
        }
    };
    Ok(Page { after, limit: i64::from(limit) + 1 })
}

/// One page of a collection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Items<T: ToSchema> {
    items: Vec<T>,
    /// Ask with it for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl<T: ToSchema> Items<T> {
    /// A collection that is small by nature.
    pub(crate) fn all(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }

    /// From rows that were asked for with `page`.
    pub(crate) fn new<R>(
        page: &Page,
        rows: Vec<R>,
        id: impl Fn(&R) -> String,
        show: impl Fn(R) -> T,
    ) -> Self {
        let shown = Self::try_new(page, rows, id, |row| Ok::<_, std::convert::Infallible>(show(row)));
        shown.unwrap_or_else(|never| match never {})
    }

    /// The same, of rows that may hold what cannot be shown.
    pub(crate) fn try_new<R, E>(
        page: &Page,
        mut rows: Vec<R>,
        id: impl Fn(&R) -> String,
        show: impl Fn(R) -> Result<T, E>,
    ) -> Result<Self, E> {
        let shown = usize::try_from(page.limit - 1).unwrap_or(0);
        let more = rows.len() > shown;
        rows.truncate(shown);
        let next_cursor = rows.last().filter(|_| more).map(id);
        let items = rows.into_iter().map(show).collect::<Result<_, E>>()?;
        Ok(Self { items, next_cursor })
    }
}
