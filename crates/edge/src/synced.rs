//! Whether the table has been filled once: before that, an unknown host may only be one not yet heard of.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

/// Whether the table has been filled once. Clones share it.
#[derive(Clone)]
pub(crate) struct Synced(Arc<watch::Sender<bool>>);

impl Synced {
    pub(crate) fn not_yet() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub(crate) fn get(&self) -> bool {
        *self.0.borrow()
    }

    pub(crate) fn set(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it is so, at most `limit`.
    pub(crate) async fn wait(&self, limit: Duration) {
        let mut receiver = self.0.subscribe();
        // Either outcome lets the caller go on.
        drop(tokio::time::timeout(limit, receiver.wait_for(|synced| *synced)).await);
    }
}
