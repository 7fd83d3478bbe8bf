//! Counts calls by how they ended, which a stream says in its last frame.

use std::{sync::LazyLock, time::Instant};

use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use tonic::{Code, Status, body::Body};

use crate::metrics::{Counter, Histogram, Labelled, call_seconds, labelled};

static CALLS: LazyLock<Labelled<Counter, 2>> = LazyLock::new(|| {
    let help = "gRPC calls answered, by method and status code";
    labelled("grpc_requests", help, ["method", "code"], Counter::default)
});
static DURATIONS: LazyLock<Labelled<Histogram, 1>> = LazyLock::new(|| {
    let help = "Time from a gRPC call to the end of its answer";
    labelled("grpc_request_duration_seconds", help, ["method"], call_seconds)
});

/// A call under way; counted when dropped.
pub(super) struct Count {
    method: String,
    began: Instant,
    code: Code,
}

impl Count {
    /// One whose caller has not got an answer is cancelled.
    pub(super) fn begin(method: &str) -> Self {
        Self { method: method.to_owned(), began: Instant::now(), code: Code::Cancelled }
    }

    /// The same answer, which counts the call at its end.
    pub(super) fn until_end(mut self, answer: Response<Body>) -> Response<Body> {
        if self.read(answer.headers()) {
            return answer;
        }
        answer.map(|body| {
            Body::new(body.map_frame(move |frame| {
                frame.trailers_ref().map(|trailers| self.read(trailers));
                frame
            }))
        })
    }

    fn read(&mut self, headers: &HeaderMap) -> bool {
        let status = Status::from_header_map(headers);
        self.code = status.as_ref().map_or(self.code, Status::code);
        status.is_some()
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        // Who calls what is not there chooses its name.
        let known = self.code != Code::Unimplemented;
        let method = if known { std::mem::take(&mut self.method) } else { "unknown".to_owned() };
        CALLS.with([method.clone(), format!("{:?}", self.code)]).inc();
        DURATIONS.with([method]).observe(self.began.elapsed().as_secs_f64());
    }
}
