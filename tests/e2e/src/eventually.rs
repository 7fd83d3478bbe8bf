//! Waiting for something to become true, within bounds.

use std::{
    future::Future,
    time::{Duration, Instant},
};

const POLL: Duration = Duration::from_millis(50);

/// Asks until there is an answer; panics with `what` after `seconds`.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    seconds: u64,
    mut ask: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {seconds} s: {what}");
        tokio::time::sleep(POLL).await;
    }
}
