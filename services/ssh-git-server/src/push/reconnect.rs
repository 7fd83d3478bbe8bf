//! Patience with an api that has gone away: how long, and what the pusher is told meanwhile.

use std::time::Duration;

use paastech_types::Kind;
use tokio::time::Instant;
use tonic::Status;

use super::conversation::{Conversation, HookLost};
use crate::server::Shared;

const PAUSE: Duration = Duration::from_millis(500);
/// An internal error may be a stream that broke, or the api's own, which waiting does not mend.
const INTERNAL: Duration = Duration::from_secs(10);

/// What has answered and then not failed for so long has come back: what fails next is another outage.
const CALM: Duration = Duration::from_secs(10);

/// One outage after another is waited for, each at most `window`.
pub(super) struct Patience {
    window: Duration,
    since: Option<Instant>,
    failed: Option<Instant>,
    answered: bool,
    told: bool,
}

impl Patience {
    pub(super) fn new(shared: &Shared) -> Self {
        let window = Duration::from_secs(shared.config.limits.reconnect_seconds);
        Self { window, since: None, failed: None, answered: false, told: false }
    }

    /// The api has got on: the next outage has its full time.
    pub(super) fn renew(&mut self) {
        self.since = None;
    }

    /// The api has answered a call, which may not be the one that fails.
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }

    /// Waits a moment after `status`; false if it is final or has lasted too long.
    pub(super) async fn wait(
        &mut self,
        shared: &Shared,
        status: &Status,
        conversation: &mut Conversation,
    ) -> Result<bool, HookLost> {
        let window = match Kind::from_code(status.code()) {
            Kind::Unavailable | Kind::Timeout => self.window,
            Kind::Internal => self.window.min(INTERNAL),
            _ => return Ok(false),
        };
        let calm = self.failed.is_some_and(|failed| failed.elapsed() >= CALM.min(self.window));
        if std::mem::take(&mut self.answered) && calm {
            self.since = None;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() >= window || shared.shutdown.is_draining() {
            return Ok(false);
        }
        tracing::warn!(code = ?status.code(), error = status.message(), "the api has gone away during a push");
        if !self.told {
            self.told = true;
            conversation.say("The platform's api has gone away; waiting for it to come back …").await?;
        }
        tokio::time::sleep(PAUSE).await;
        self.failed = Some(Instant::now());
        Ok(true)
    }
}
