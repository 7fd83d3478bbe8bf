//! Following a push's build, or any operation, from a sequence number to its end.

use futures_util::stream;
use paastech_proto::control::{
    FollowOperationRequest, FollowOperationResponse, FollowPushRequest, FollowPushResponse, LogLine,
    OperationEnd, SourceWanted, Verdict, follow_operation_response, follow_push_response,
};
use paastech_types::{AccountId, Failure, Kind, OperationId, PushId};
use tonic::Status;

use super::{Answers, ControlService, parse, refuse};
use crate::{
    auth::permission::Permission,
    engine::{
        follow::{Follower, Told},
        log::Line,
    },
    store::{operation, push},
};

fn line(line: Line) -> LogLine {
    LogLine { seq: line.seq, at_ms: line.at, text: line.text }
}

/// The build's log to the verdict.
pub(super) async fn push(
    service: &ControlService,
    request: FollowPushRequest,
) -> Result<Answers<FollowPushResponse>, Status> {
    use follow_push_response::Event;
    let id: PushId = parse(&request.push_id, "push_id")?;
    let mut tx = service.engine.db.read().await.map_err(|error| refuse(&error))?;
    let row = push::get(&mut tx, id).await.map_err(|error| refuse(&error))?;
    drop(tx);
    let build =
        row.map(|row| row.build_operation_id()).transpose().map_err(|error| refuse(&error))?.flatten();
    let build =
        build.ok_or_else(|| Status::from(Failure::new(Kind::NotFound, "no such push, or no build in it")))?;
    let following = service.engine.followers.follow(id);
    let follower = Follower::new(&service.engine, build, request.from_seq).await?;
    Ok(tell(service, follower, move |told| {
        // Somebody waits as long as this is asked for more.
        let _following = &following;
        let event = match told {
            Told::Line(text) => Event::Line(line(text)),
            Told::Waiting => Event::SourceWanted(SourceWanted {}),
            Told::End(row) => {
                let accepted = row.state == "done";
                Event::Verdict(Verdict { accepted, message: row.error_text.unwrap_or_default() })
            }
        };
        Some(FollowPushResponse { event: Some(event) })
    }))
}

/// An operation's log to its end.
pub(super) async fn operation(
    service: &ControlService,
    request: FollowOperationRequest,
) -> Result<Answers<FollowOperationResponse>, Status> {
    use follow_operation_response::Event;
    let id: OperationId = parse(&request.operation_id, "operation_id")?;
    let account: AccountId = parse(&request.account_id, "account_id")?;
    let mut tx = service.engine.db.read().await.map_err(|error| refuse(&error))?;
    let row = operation::get(&mut tx, id).await.map_err(|error| refuse(&error))?;
    drop(tx);
    let row = row.ok_or_else(|| Status::from(Failure::new(Kind::NotFound, "no such operation")))?;
    service.authorize(account, &row.project_id, Permission::Read).await?;
    let follower = Follower::new(&service.engine, id, request.from_seq).await?;
    let engine = service.engine.clone();
    Ok(tell(service, follower, move |told| {
        let event = match told {
            Told::Waiting => return None,
            Told::Line(text) => Event::Line(line(text)),
            Told::End(row) => {
                let url = row.project_id().ok().filter(|_| row.made_live()).map(|id| (engine.app_url)(id));
                Event::End(OperationEnd {
                    state: row.state,
                    message: row.error_text.unwrap_or_default(),
                    url: url.unwrap_or_default(),
                })
            }
        };
        Some(FollowOperationResponse { event: Some(event) })
    }))
}

/// What a follower is told, to the end. The drain ends it before: whoever follows comes back to the next process.
fn tell<T: Send + 'static>(
    service: &ControlService,
    follower: Follower,
    show: impl Fn(Told) -> Option<T> + Send + 'static,
) -> Answers<T> {
    let begun = Some((follower, show, service.stopping.clone()));
    Box::pin(stream::unfold(begun, |state| async move {
        let (mut follower, show, stopping) = state?;
        loop {
            let told = tokio::select! {
                told = follower.next() => told.map_err(Status::from),
                () = stopping.cancelled() => Err(Status::unavailable("the api stops: follow it again")),
            };
            let told = match told {
                Ok(told) => told,
                Err(status) => return Some((Err(status), None)),
            };
            let last = matches!(told, Told::End(_));
            if let Some(shown) = show(told) {
                return Some((Ok(shown), (!last).then_some((follower, show, stopping))));
            }
        }
    }))
}
