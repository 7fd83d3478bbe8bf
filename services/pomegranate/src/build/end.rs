//! How a build ends without an image.

use paastech_proto::pomegranate::{BuildOutcome, BuildResult};
use paastech_types::Kind;
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

/// Ends a build at its cancel and at its time limit.
pub(crate) async fn within_limits<T>(
    build: impl Future<Output = Result<T, Failure>>,
    order: &Order,
    stop: &CancellationToken,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(cancelled()),
        outcome = tokio::time::timeout(order.timeout, build) => outcome.unwrap_or_else(|_| Err(timed_out(order))),
    }
}
