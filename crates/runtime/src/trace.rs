//! The id that follows one push or request through every service, as W3C `traceparent`.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries it.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

tokio::task_local! {
    static CURRENT: TraceId;
}

/// 128 bits; printed as 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

impl TraceId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().as_u128())
    }

    /// The one in `headers`, or a new one.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let parsed = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()).and_then(|text| {
            let id = text.strip_prefix("00-")?.get(..32)?;
            u128::from_str_radix(id, 16).ok().filter(|id| *id != 0)
        });
        parsed.map_or_else(Self::random, Self)
    }

    /// The one of the task that asks, or a new one.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.try_with(|id| *id).unwrap_or_else(|_| Self::random())
    }

    /// Runs `future` under this id.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }

    /// The value of the `traceparent` header.
    #[must_use]
    pub fn header(self) -> HeaderValue {
        let mut text = String::with_capacity(55);
        let parent = u64::try_from(self.0 >> 64).unwrap_or(1) | 1;
        let written = write!(text, "00-{:032x}-{parent:016x}-01", self.0);
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
        HeaderValue::try_from(text).expect("hex digits and hyphens are a header value")
    }
}

impl std::fmt::Display for TraceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_its_own_header() {
        let id = TraceId::random();
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, id.header());
        assert_eq!(TraceId::from_headers(&headers), id);
    }
}
