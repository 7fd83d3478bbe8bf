//! The trace that follows one push or request through every service, as W3C `traceparent` says it.

use std::cell::Cell;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    trace::{SpanContext, TraceContextExt as _, TraceFlags, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The header that carries it.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

tokio::task_local! {
    static CURRENT: Trace;
}

thread_local! {
    /// The id of the trace whose first span is being made; 0 = none.
    pub(crate) static BEGINS: Cell<u128> = const { Cell::new(0) };
}

/// A trace, seen from one place in it. Prints its id: 128 bits as 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    id: u128,
    /// The caller's span; 0 = the caller has recorded none.
    parent: u64,
}

impl Trace {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self { id: uuid::Uuid::new_v4().as_u128(), parent: 0 }
    }

    /// What a `traceparent` says: `00-<trace>-<span>-<flags>`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split('-').collect();
        let ["00", id, parent, flags] = fields[..] else { return None };
        let plain = |field: &str, length| {
            field.len() == length && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        if !(plain(id, 32) && plain(parent, 16) && plain(flags, 2)) {
            return None;
        }
        let id = u128::from_str_radix(id, 16).ok().filter(|id| *id != 0)?;
        let recorded = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        let parent = u64::from_str_radix(parent, 16).ok()?;
        Some(Self { id, parent: if recorded { parent } else { 0 } })
    }

    /// The one in `headers`, or a new one.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let text = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
        text.and_then(Self::parse).unwrap_or_else(Self::random)
    }

    /// The one of the task that asks, or a new one.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.try_with(|trace| *trace).unwrap_or_else(|_| Self::random())
    }

    /// Runs `future` under it.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }

    /// Makes a new span this trace's: below the caller's span, or its first.
    #[must_use]
    pub fn begin(self, span: Span) -> Span {
        let mut above = Context::new();
        if self.parent != 0 {
            let (id, parent) = (self.id.into(), self.parent.into());
            let caller = SpanContext::new(id, parent, TraceFlags::SAMPLED, true, TraceState::NONE);
            above = above.with_remote_span_context(caller);
        }
        // Refused where no traces are collected.
        drop(span.set_parent(above));
        BEGINS.set(self.id);
        // Asking for it is what makes it.
        drop(span.context());
        BEGINS.set(0);
        span
    }

    /// The `traceparent` for who is called from here, below the present span if it is recorded.
    #[must_use]
    pub fn traceparent(self) -> String {
        let context = Span::current().context();
        let span = context.span().span_context().clone();
        if span.is_valid() && span.trace_id() == self.id.into() {
            return format!("00-{:032x}-{}-01", self.id, span.span_id());
        }
        // The format wants a span even where there is none.
        format!("00-{:032x}-{:016x}-00", self.id, u64::try_from(self.id >> 64).unwrap_or(1) | 1)
    }

    /// The same, as a header's value.
    #[must_use]
    pub fn header(self) -> HeaderValue {
        HeaderValue::try_from(self.traceparent()).expect("hex digits and hyphens are a header value")
    }
}

impl std::fmt::Display for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_its_own_header() {
        let trace = Trace::random();
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, trace.header());
        assert_eq!(Trace::from_headers(&headers), trace);
    }

    #[test]
    fn a_callers_span_counts_only_when_it_is_recorded() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let parent = |flags| Trace::parse(&format!("00-{id}-b7ad6b7169203331-{flags}")).expect("good").parent;
        assert_eq!((parent("01"), parent("00")), (0xb7ad_6b71_6920_3331, 0));
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        let (id, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        for text in [
            String::new(),
            "00".to_owned(),
            format!("01-{id}-{span}-01"),
            format!("00-{id}-{span}"),
            format!("00-{id}-{span}-1"),
            format!("00-{id}-{span}-01-more"),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-+{}-{span}-01", &id[1..]),
            format!("00-{}-{span}-01", id.to_uppercase()),
            format!("00-{id}-{}-01", "ä".repeat(8)),
            format!("00-{}-{span}-01", "é".repeat(16)),
        ] {
            assert_eq!(Trace::parse(&text), None, "{text}");
        }
    }
}
