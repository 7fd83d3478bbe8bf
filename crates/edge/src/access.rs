//! One line in the log per request, written when its answer has ended.

use std::time::Instant;

use http::{Method, StatusCode, Uri};

/// Longest path that is logged.
const PATH: usize = 200;
/// What others log for a client that went away before the answer.
const CLIENT_CLOSED: u16 = 499;

/// A request's line, written when this is dropped. Neither query nor headers nor bodies are in it.
pub(crate) struct Access {
    began: Instant,
    method: Method,
    host: String,
    path: String,
    release: Option<String>,
    request_id: String,
    status: Option<StatusCode>,
    broken: bool,
}

impl Access {
    pub(crate) fn begin(method: &Method, uri: &Uri, request_id: String) -> Self {
        let path = uri.path();
        let path = path.get(..PATH).unwrap_or(path);
        Self {
            began: Instant::now(),
            method: method.clone(),
            host: String::new(),
            path: path.to_owned(),
            release: None,
            request_id,
            status: None,
            broken: false,
        }
    }

    pub(crate) fn host(&mut self, host: &str) {
        host.clone_into(&mut self.host);
    }

    pub(crate) fn release(&mut self, release: String) {
        self.release = Some(release);
    }

    pub(crate) fn status(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// The answer ended before it was whole.
    pub(crate) fn broken(&mut self) {
        self.broken = true;
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        tracing::info!(
            method = %self.method,
            host = self.host,
            path = self.path,
            status = self.status.map_or(CLIENT_CLOSED, |status| status.as_u16()),
            duration_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            release = self.release.as_deref().unwrap_or_default(),
            request.id = self.request_id,
            broken = self.broken,
            "request"
        );
    }
}
