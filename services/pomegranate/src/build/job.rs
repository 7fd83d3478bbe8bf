//! One build: its log, its end, and the way to end it early.

use std::sync::Arc;

use paastech_proto::pomegranate::{
    BuildOutcome, BuildResult, FollowBuildResponse, follow_build_response::Event,
};
use paastech_types::{BuildId, ProjectId};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::build::log::Log;

/// Followed and cancelled by id; runs in a task of its own.
pub(crate) struct Job {
    /// The build.
    pub(crate) id: BuildId,
    /// Whose it is.
    pub(crate) project: ProjectId,
    /// What it has printed.
    pub(crate) log: Log,
    /// Ends it.
    pub(crate) cancel: CancellationToken,
    end: watch::Sender<Option<End>>,
}

/// How a build ended.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// With this.
    Result(BuildResult),
    /// Without a result: it is to be started again.
    Lost,
}

impl Job {
    /// One that has not started.
    pub(crate) fn new(id: BuildId, project: ProjectId, log: Log) -> Self {
        Self { id, project, log, cancel: CancellationToken::new(), end: watch::Sender::new(None) }
    }

    /// Tells everyone how it ended.
    pub(crate) fn finish(&self, end: End) {
        self.end.send_replace(Some(end));
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.end.borrow().is_some()
    }

    /// Resolves when it has ended.
    pub(crate) async fn over(&self) {
        // The sender lives as long as `self`.
        let _ = self.end.subscribe().wait_for(Option::is_some).await;
    }

    /// The log from a number on, then the result, if there is one.
    pub(crate) fn follow(
        self: Arc<Self>,
        from_seq: u64,
    ) -> ReceiverStream<Result<FollowBuildResponse, Status>> {
        let (send, receive) = mpsc::channel(64);
        tokio::spawn(async move {
            let mut next = from_seq.max(1);
            let (mut count, mut end) = (self.log.watch(), self.end.subscribe());
            loop {
                count.mark_unchanged();
                let over = end.borrow_and_update().clone();
                let lines = self.log.from(next);
                let caught_up = lines.is_empty();
                for line in lines {
                    next = line.seq + 1;
                    if send.send(Ok(event(Event::Line(line)))).await.is_err() {
                        return;
                    }
                }
                if !caught_up {
                    continue;
                }
                match over {
                    Some(End::Result(result)) => {
                        let _ = send.send(Ok(event(Event::Result(result)))).await;
                        return;
                    }
                    Some(End::Lost) => return,
                    None => {}
                }
                tokio::select! {
                    _ = count.changed() => {}
                    _ = end.changed() => {}
                    () = send.closed() => return,
                }
            }
        });
        ReceiverStream::new(receive)
    }
}

fn event(event: Event) -> FollowBuildResponse {
    FollowBuildResponse { event: Some(event) }
}

/// A result without an image.
pub(crate) fn failure(outcome: BuildOutcome, message: impl Into<String>) -> BuildResult {
    BuildResult { outcome: outcome.into(), message: message.into(), image: None }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use paastech_runtime::Clock;

    use super::*;

    #[tokio::test]
    async fn a_follower_gets_every_line_and_then_the_result() {
        let log = Log::new(Clock::system(), 1 << 20);
        let job = Arc::new(Job::new(BuildId::new(), ProjectId::new(), log));
        job.log.push("before".to_owned());
        let stream = Arc::clone(&job).follow(0);
        for number in 0..1000 {
            job.log.push(format!("line {number}"));
        }
        job.finish(End::Result(failure(BuildOutcome::Failed, "no")));
        let events: Vec<_> = stream.map(|event| event.expect("no error").event).collect().await;
        assert_eq!(events.len(), 1002);
        assert!(matches!(events.last(), Some(Some(Event::Result(result))) if result.message == "no"));
        let tail: Vec<_> = job.follow(1001).collect().await;
        assert_eq!(tail.len(), 2);
    }
}
