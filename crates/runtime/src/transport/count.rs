//! Counts calls by how they ended, which a stream says in its last frame.

use std::{borrow::Cow, collections::HashSet, sync::LazyLock, time::Instant};

use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use prost::Message as _;
use prost_types::FileDescriptorSet;
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
/// The methods there are; any other name is the caller's choice, and no label.
static METHODS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(paastech_proto::DESCRIPTORS).expect("compiled with us");
    let of_file = |file: &prost_types::FileDescriptorProto| {
        let methods = file.service.iter().flat_map(|service| {
            let methods = service.method.iter().map(|method| method.name());
            methods.map(|method| format!("/{}.{}/{method}", file.package(), service.name()))
        });
        methods.collect::<Vec<_>>()
    };
    let health = "/grpc.health.v1.Health/Check".to_owned();
    files.file.iter().flat_map(of_file).chain([health]).collect()
});

/// A call under way; counted when dropped.
pub(super) struct Count {
    method: &'static str,
    began: Instant,
    code: Code,
}

impl Count {
    /// One whose caller has not got an answer is cancelled.
    pub(super) fn begin(path: &str) -> Self {
        let method = METHODS.get(path).map_or("other", String::as_str);
        Self { method, began: Instant::now(), code: Code::Cancelled }
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
        CALLS.with([Cow::Borrowed(self.method), format!("{:?}", self.code).into()]).inc();
        DURATIONS.with([self.method]).observe(self.began.elapsed().as_secs_f64());
    }
}
