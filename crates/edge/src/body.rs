//! Bodies on their way through: never buffered, counted, and cut when they stand still.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use crate::{
    EdgeConfig,
    access::Access,
    config::ms,
    pulse::{Busy, Pulse},
    server::InFlight,
};

/// Why a body was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Cut {
    #[error("the body is larger than the limit")]
    TooLarge,
    #[error("the body stood still for too long")]
    Idle,
    #[error("the sender went away")]
    Lost,
}

/// A request's body. Clones share it, so that what a failed attempt did not take is there for the next one.
#[derive(Clone)]
pub(crate) struct Upload(Arc<Mutex<UploadState>>);

struct UploadState {
    inner: Incoming,
    idle: Idle,
    /// Bytes that may still come; `None` = no limit.
    left: Option<u64>,
    moved_at: Instant,
    cut: Option<Cut>,
    pulse: Arc<Pulse>,
}

impl Upload {
    /// A body within the configuration's limits, on the connection with this pulse.
    pub(crate) fn new(inner: Incoming, config: &EdgeConfig, pulse: Arc<Pulse>) -> Self {
        let (limit, idle) = (config.limits.body_bytes, ms(config.timeouts.upload_idle_ms));
        let left = (limit > 0).then_some(limit);
        let state =
            UploadState { inner, idle: Idle::new(idle), left, moved_at: Instant::now(), cut: None, pulse };
        Self(Arc::new(Mutex::new(state)))
    }

    /// When something of it last went on.
    pub(crate) fn moved_at(&self) -> Instant {
        self.state().moved_at
    }

    /// Why it was cut, if it was.
    pub(crate) fn cut(&self) -> Option<Cut> {
        self.state().cut
    }

    fn state(&self) -> MutexGuard<'_, UploadState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UploadState {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let Some(frame) = ready!(self.idle.poll(&mut self.inner, cx)) else { return Poll::Ready(None) };
        let frame = frame?;
        self.moved_at = Instant::now();
        self.pulse.progress();
        if let (Some(left), Some(data)) = (self.left.as_mut(), frame.data_ref()) {
            *left = left.checked_sub(data.len() as u64).ok_or(Cut::TooLarge)?;
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let mut state = self.state();
        let polled = state.poll(cx);
        if let Poll::Ready(Some(Err(cut))) = polled {
            state.cut = Some(cut);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.state().inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.state().inner.size_hint()
    }
}

/// An answer's body: the app's, or a page of ours.
pub(crate) struct Download {
    source: Source,
    /// Told at its end, or when the client goes away.
    access: Option<Access>,
    _in_flight: Option<InFlight>,
    busy: Option<Busy>,
}

enum Source {
    App { inner: Incoming, idle: Idle },
    Page(Option<Bytes>),
}

impl Download {
    /// The app's answer, which may pause for `idle`; the request is in flight until it ends.
    pub(crate) fn app(inner: Incoming, idle: Duration, in_flight: InFlight) -> Self {
        let source = Source::App { inner, idle: Idle::new(idle) };
        Self { source, access: None, _in_flight: Some(in_flight), busy: None }
    }

    /// A text of ours.
    pub(crate) fn page(text: impl Into<Bytes>) -> Self {
        let source = Source::Page(Some(text.into()).filter(|text| !text.is_empty()));
        Self { source, access: None, _in_flight: None, busy: None }
    }

    /// Ends the request's line in the log, and the connection's being busy, with this body.
    pub(crate) fn ending(mut self, access: Option<Access>, busy: Busy) -> Self {
        self.access = access;
        self.busy = Some(busy);
        self
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let polled = match &mut self.source {
            Source::App { inner, idle } => ready!(idle.poll(inner, cx)),
            Source::Page(text) => text.take().map(|text| Ok(Frame::data(text))),
        };
        if let Some(busy) = &self.busy {
            busy.progress();
        }
        if let (Some(Err(_)), Some(access)) = (&polled, &mut self.access) {
            access.broken();
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::App { inner, .. } => inner.is_end_stream(),
            Source::Page(text) => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::App { inner, .. } => inner.size_hint(),
            Source::Page(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
        }
    }
}

/// Polls a body, and gives up when nothing came for a while. The timer exists only while it waits.
struct Idle {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    fn new(limit: Duration) -> Self {
        Self { limit, timer: None }
    }

    fn poll(&mut self, body: &mut Incoming, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            self.timer = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(|_| Cut::Lost)));
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.limit)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Some(Err(Cut::Idle)))
    }
}
