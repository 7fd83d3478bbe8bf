//! Whether a client's connection is alive: what moved on it, and when. hyper's own header timeout does not cover the
//! bytes by which HTTP/1 and HTTP/2 are told apart, nor a client that never reads.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::Version;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::config::{Timeouts, ms};

/// How often connections are looked at, at most.
const TICK: Duration = Duration::from_secs(1);

/// What moved on a connection, in milliseconds since it began; 0 stands for never.
#[derive(Debug)]
pub(crate) struct Pulse {
    born: Instant,
    /// Requests that have not been answered to the end.
    busy: AtomicUsize,
    /// HTTP/2: what comes between two requests need not be the head of one.
    multiplexed: AtomicBool,
    /// The first byte after the last answer.
    head_since: AtomicU64,
    /// The end of the last answer.
    idle_since: AtomicU64,
    /// A write that the client does not take.
    stuck_since: AtomicU64,
    /// The last byte, either way.
    moved_at: AtomicU64,
    /// The last piece of any body, either way: on HTTP/2 a client can answer pings and yet take nothing.
    progress_at: AtomicU64,
}

/// A request that has not been answered to the end: counted until this is dropped.
pub(crate) struct Busy(Arc<Pulse>);

impl Pulse {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            born: Instant::now(),
            busy: AtomicUsize::new(0),
            multiplexed: AtomicBool::new(false),
            head_since: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            stuck_since: AtomicU64::new(0),
            moved_at: AtomicU64::new(1),
            progress_at: AtomicU64::new(1),
        })
    }

    /// A request has begun.
    pub(crate) fn begin(self: &Arc<Self>, version: Version) -> Busy {
        self.busy.fetch_add(1, Relaxed);
        self.multiplexed.store(version == Version::HTTP_2, Relaxed);
        self.head_since.store(0, Relaxed);
        self.progress();
        Busy(Arc::clone(self))
    }

    /// Resolves when a request has begun, or none has within `limit`.
    pub(crate) async fn asked(&self, limit: Duration) {
        let given_up = Instant::now() + limit;
        let silent = || self.busy.load(Relaxed) == 0 && self.idle_since.load(Relaxed) == 0;
        while silent() && Instant::now() < given_up {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A piece of a body went on.
    pub(crate) fn progress(&self) {
        self.progress_at.store(self.now(), Relaxed);
    }

    /// Resolves when the client has been too slow, with what it was too slow at.
    pub(crate) async fn overdue(&self, timeouts: &Timeouts) -> &'static str {
        let tick = TICK.min(ms(timeouts.header_ms.max(40)) / 4);
        loop {
            tokio::time::sleep(tick).await;
            if let Some(reason) = self.verdict(timeouts) {
                return reason;
            }
        }
    }

    /// Resolves when nothing has moved, either way, for `limit`.
    pub(crate) async fn still(&self, limit: Duration) {
        loop {
            let since = self.since(&self.moved_at).unwrap_or_default();
            let Some(left) = limit.checked_sub(since) else { return };
            tokio::time::sleep(left.max(Duration::from_millis(1))).await;
        }
    }

    fn verdict(&self, timeouts: &Timeouts) -> Option<&'static str> {
        let over = |since: &AtomicU64, limit: u64| self.since(since).is_some_and(|since| since > ms(limit));
        if over(&self.stuck_since, timeouts.write_stall_ms) {
            return Some("it takes nothing of the answer");
        }
        if self.busy.load(Relaxed) > 0 {
            // Every body has a shorter limit of its own, which holds only while somebody asks it for more.
            let longest = timeouts.response_ms.max(timeouts.response_idle_ms).max(timeouts.upload_idle_ms);
            let limit = longest.saturating_add(timeouts.write_stall_ms);
            return over(&self.progress_at, limit).then_some("nothing goes on");
        }
        if over(&self.head_since, timeouts.header_ms) {
            return Some("the head of a request took too long");
        }
        if self.idle_since.load(Relaxed) == 0 {
            return (self.born.elapsed() > ms(timeouts.header_ms)).then_some("no request came");
        }
        let between = self.head_since.load(Relaxed) == 0;
        (between && over(&self.idle_since, timeouts.keep_alive_ms)).then_some("no further request came")
    }

    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    fn since(&self, mark: &AtomicU64) -> Option<Duration> {
        let at = mark.load(Relaxed);
        (at != 0).then(|| ms(self.now().saturating_sub(at)))
    }

    fn did_read(&self) {
        let now = self.now();
        self.moved_at.store(now, Relaxed);
        let idle = self.busy.load(Relaxed) == 0 && !self.multiplexed.load(Relaxed);
        if idle && self.head_since.load(Relaxed) == 0 {
            self.head_since.store(now, Relaxed);
        }
    }

    fn did_write<T>(&self, polled: &Poll<T>) {
        if polled.is_ready() {
            self.moved_at.store(self.now(), Relaxed);
            self.stuck_since.store(0, Relaxed);
        } else if self.stuck_since.load(Relaxed) == 0 {
            self.stuck_since.store(self.now(), Relaxed);
        }
    }
}

impl Busy {
    /// A piece of the answer went on.
    pub(crate) fn progress(&self) {
        self.0.progress();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Relaxed) == 1 {
            self.0.head_since.store(0, Relaxed);
            self.0.idle_since.store(self.0.now(), Relaxed);
        }
    }
}

/// A connection that tells its pulse what moves.
pub(crate) struct Watched {
    pub(crate) stream: TcpStream,
    pub(crate) pulse: Arc<Pulse>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.pulse.did_read();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.pulse.did_write(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.pulse.did_write(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pulse born long enough ago for every limit below to have passed.
    fn old() -> Arc<Pulse> {
        let mut pulse = Pulse::new();
        let inner = Arc::get_mut(&mut pulse).expect("not shared yet");
        inner.born =
            Instant::now().checked_sub(Duration::from_secs(60)).expect("the machine is up for a minute");
        pulse
    }

    fn limits() -> Timeouts {
        Timeouts {
            header_ms: 10_000,
            keep_alive_ms: 20_000,
            write_stall_ms: 10_000,
            response_ms: 20_000,
            response_idle_ms: 30_000,
            ..Timeouts::default()
        }
    }

    #[test]
    fn a_connection_without_a_request_is_overdue() {
        assert_eq!(Pulse::new().verdict(&limits()), None);
        assert_eq!(old().verdict(&limits()), Some("no request came"));
    }

    #[test]
    fn one_with_a_request_at_work_never_is_unless_it_takes_nothing() {
        let pulse = old();
        let busy = pulse.begin(Version::HTTP_11);
        assert_eq!(pulse.verdict(&limits()), None);
        pulse.stuck_since.store(1, Relaxed);
        assert_eq!(pulse.verdict(&limits()), Some("it takes nothing of the answer"));
        pulse.did_write(&Poll::Ready(()));
        assert_eq!(pulse.verdict(&limits()), None);
        drop(busy);
        assert_eq!(pulse.verdict(&limits()), None, "idle from now on");
    }

    #[test]
    fn one_whose_bodies_all_stand_still_is_overdue() {
        let pulse = old();
        let busy = pulse.begin(Version::HTTP_2);
        pulse.progress_at.store(1, Relaxed);
        assert_eq!(pulse.verdict(&limits()), Some("nothing goes on"));
        busy.progress();
        assert_eq!(pulse.verdict(&limits()), None);
    }

    #[test]
    fn between_requests_the_head_and_the_silence_have_their_own_limits() {
        let pulse = old();
        drop(pulse.begin(Version::HTTP_11));
        pulse.head_since.store(1, Relaxed);
        assert_eq!(pulse.verdict(&limits()), Some("the head of a request took too long"));
        pulse.head_since.store(0, Relaxed);
        pulse.idle_since.store(1, Relaxed);
        assert_eq!(pulse.verdict(&limits()), Some("no further request came"));
    }

    #[test]
    fn a_ping_on_http2_is_not_the_head_of_a_request() {
        let pulse = old();
        drop(pulse.begin(Version::HTTP_2));
        pulse.did_read();
        assert_eq!(pulse.head_since.load(Relaxed), 0);
    }
}
