//! Following a push's build, or any operation, from a sequence number to its end.

use futures_util::Stream;
use paastech_proto::control::{
    FollowOperationRequest, FollowOperationResponse, FollowPushRequest, FollowPushResponse, LogLine,
    OperationEnd, SourceWanted, Verdict, follow_operation_response, follow_push_response,
};
use paastech_types::{AccountId, Failure, Kind, OperationId, PushId};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{ControlService, parse, refuse};
use crate::{
    auth::permission::Permission,
    engine::log::{Line, Reader},
    store::{operation, push},
};

/// Something a follower is told.
enum Told {
    Line(Line),
    /// The operation waits for its source.
    Waiting,
    End(Box<operation::Row>),
}

/// Walks an operation's log to its end.
struct Follower {
    service: ControlService,
    id: OperationId,
    reader: Reader,
    pending: std::collections::VecDeque<Line>,
    told_waiting: bool,
}

impl Follower {
    async fn new(service: &ControlService, id: OperationId, from: u64) -> Result<Self, Status> {
        let reader = service.engine.logs.reader(id, from).await.map_err(|error| {
            tracing::error!(operation.id = %id, %error, "a log cannot be read");
            Status::from(Failure::new(Kind::Internal, "the log cannot be read"))
        })?;
        let service = service.clone();
        Ok(Self { service, id, reader, pending: std::collections::VecDeque::new(), told_waiting: false })
    }

    async fn next(&mut self) -> Result<Told, Status> {
        loop {
            if let Some(line) = self.pending.pop_front() {
                return Ok(Told::Line(line));
            }
            // The row first: what is logged before its end is read after it.
            let mut tx = self.service.engine.db.read().await.map_err(|error| refuse(&error))?;
            let row = operation::get(&mut tx, self.id).await.map_err(|error| refuse(&error))?;
            drop(tx);
            let row = row.ok_or_else(|| Status::from(Failure::new(Kind::NotFound, "no such operation")))?;
            let lines = self.reader.more().await.map_err(|error| {
                tracing::error!(operation.id = %self.id, %error, "a log cannot be read");
                Status::from(Failure::new(Kind::Internal, "the log cannot be read"))
            })?;
            self.pending.extend(lines);
            if !self.pending.is_empty() {
                continue;
            }
            if !row.is_open() {
                return Ok(Told::End(Box::new(row)));
            }
            let waiting = row.state == "queued" && row.step == "source";
            if waiting && !self.told_waiting {
                self.told_waiting = true;
                return Ok(Told::Waiting);
            }
            self.told_waiting = waiting;
            tokio::select! {
                () = self.reader.grown() => {}
                () = self.service.engine.changed() => {}
            }
        }
    }
}

fn line(line: Line) -> LogLine {
    LogLine { seq: line.seq, at_ms: line.at, text: line.text }
}

/// The build's log to the verdict.
pub(super) async fn push(
    service: &ControlService,
    request: FollowPushRequest,
) -> Result<impl Stream<Item = Result<FollowPushResponse, Status>> + use<>, Status> {
    let id: PushId = parse(&request.push_id, "push_id")?;
    let mut tx = service.engine.db.read().await.map_err(|error| refuse(&error))?;
    let row = push::get(&mut tx, id).await.map_err(|error| refuse(&error))?;
    drop(tx);
    let build =
        row.map(|row| row.build_operation_id()).transpose().map_err(|error| refuse(&error))?.flatten();
    let build =
        build.ok_or_else(|| Status::from(Failure::new(Kind::NotFound, "no such push, or no build in it")))?;
    let following = service.engine.followers.follow(id);
    let mut follower = Follower::new(service, build, request.from_seq).await?;
    let (send, receive) = mpsc::channel(64);
    tokio::spawn(async move {
        let _following = following;
        loop {
            let told = tokio::select! {
                told = follower.next() => told,
                () = send.closed() => return,
            };
            let (event, last) = match told {
                Ok(Told::Line(text)) => (Ok(follow_push_response::Event::Line(line(text))), false),
                Ok(Told::Waiting) => (Ok(follow_push_response::Event::SourceWanted(SourceWanted {})), false),
                Ok(Told::End(row)) => {
                    let accepted = row.state == "done";
                    let message = row.error_text.unwrap_or_default();
                    (Ok(follow_push_response::Event::Verdict(Verdict { accepted, message })), true)
                }
                Err(status) => (Err(status), true),
            };
            let event = event.map(|event| FollowPushResponse { event: Some(event) });
            if send.send(event).await.is_err() || last {
                return;
            }
        }
    });
    Ok(ReceiverStream::new(receive))
}

/// An operation's log to its end.
pub(super) async fn operation(
    service: &ControlService,
    request: FollowOperationRequest,
) -> Result<impl Stream<Item = Result<FollowOperationResponse, Status>> + use<>, Status> {
    let id: OperationId = parse(&request.operation_id, "operation_id")?;
    let account: AccountId = parse(&request.account_id, "account_id")?;
    let mut tx = service.engine.db.read().await.map_err(|error| refuse(&error))?;
    let row = operation::get(&mut tx, id).await.map_err(|error| refuse(&error))?;
    drop(tx);
    let row = row.ok_or_else(|| Status::from(Failure::new(Kind::NotFound, "no such operation")))?;
    service.authorize(account, &row.project_id, Permission::Read).await?;
    let mut follower = Follower::new(service, id, request.from_seq).await?;
    let (send, receive) = mpsc::channel(64);
    tokio::spawn(async move {
        loop {
            let told = tokio::select! {
                told = follower.next() => told,
                () = send.closed() => return,
            };
            let (event, last) = match told {
                Ok(Told::Waiting) => continue,
                Ok(Told::Line(text)) => (Ok(follow_operation_response::Event::Line(line(text))), false),
                Ok(Told::End(row)) => {
                    let end = follower.end(*row);
                    (Ok(follow_operation_response::Event::End(end)), true)
                }
                Err(status) => (Err(status), true),
            };
            let event = event.map(|event| FollowOperationResponse { event: Some(event) });
            if send.send(event).await.is_err() || last {
                return;
            }
        }
    });
    Ok(ReceiverStream::new(receive))
}

impl Follower {
    fn end(&self, row: operation::Row) -> OperationEnd {
        let url = row
            .project_id()
            .ok()
            .filter(|_| row.made_live())
            .map(|project| (self.service.engine.app_url)(project));
        OperationEnd {
            state: row.state,
            message: row.error_text.unwrap_or_default(),
            url: url.unwrap_or_default(),
        }
    }
}
