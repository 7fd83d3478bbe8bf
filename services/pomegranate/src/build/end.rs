//! How a build ends without an image.

use paastech_proto::pomegranate::{BuildOutcome, BuildResult};
use paastech_types::Kind;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{
    build::{job::failure, registry::Order},
    error::Error,
};

/// Why a build made no image.
pub(crate) enum Failure {
    /// This is to be told.
    Told(BuildResult),
    /// The engine went away: it is no fault of the build's, which can be run again.
    Away,
}

/// This outcome, and this for the pusher.
pub(crate) fn told(outcome: BuildOutcome, message: impl Into<String>) -> Failure {
    Failure::Told(failure(outcome, message))
}

/// Somebody asked for it.
pub(crate) fn cancelled() -> Failure {
    told(BuildOutcome::Cancelled, "the build was cancelled")
}

/// It took too long.
pub(crate) fn timed_out(order: &Order) -> Failure {
    let text = format!("the build took longer than {} seconds", order.timeout.as_secs());
    told(BuildOutcome::TimedOut, text)
}

/// The pusher's fault.
pub(crate) fn failed(message: impl Into<String>) -> Failure {
    told(BuildOutcome::Failed, message)
}

/// Logs what went wrong with us, and keeps it from the pusher.
pub(crate) fn internal(error: &Error) -> Failure {
    if error.kind() == Kind::Unavailable {
        tracing::warn!(%error, "the engine went away during a build");
        return Failure::Away;
    }
    tracing::error!(%error, "a build failed on our side");
    told(BuildOutcome::Internal, "the platform failed to run the build: try again")
}

/// Ends a build at its cancel and at its deadline, which is the end of its time limit.
pub(crate) async fn within_limits<T>(
    build: impl Future<Output = Result<T, Failure>>,
    order: &Order,
    deadline: Instant,
    stop: &CancellationToken,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(cancelled()),
        outcome = timeout_at(deadline, build) => outcome.unwrap_or_else(|_| Err(timed_out(order))),
    }
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::Duration};

    use paastech_types::{BuildId, ProjectId};
    use uuid::Uuid;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_follows_a_build_has_what_it_has_left_of_its_time() {
        let order = Order {
            id: BuildId::new(),
            project: ProjectId::new(),
            source: (Uuid::nil(), PathBuf::new()),
            dockerfile_refusal: String::new(),
            env: Vec::new(),
            timeout: Duration::from_secs(10),
            no_cache: false,
            registry_token: String::new(),
        };
        let (deadline, stop) = (Instant::now() + order.timeout, CancellationToken::new());
        let takes = |seconds| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok(())
        };
        let built = within_limits(takes(7), &order, deadline, &stop).await;
        assert!(built.is_ok());
        let Err(Failure::Told(pushed)) = within_limits(takes(7), &order, deadline, &stop).await else {
            panic!("it took longer than 10 seconds");
        };
        assert_eq!(pushed.outcome(), BuildOutcome::TimedOut);
        assert_eq!(Instant::now(), deadline);
    }
}
