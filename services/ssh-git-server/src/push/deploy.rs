//! post-receive, seen from the server: the refs have moved, so the deployment goes on whatever happens here. The
//! pusher watches it to its end; a failed one fails the push by its exit status.

use std::sync::Arc;

use paastech_proto::control::{
    FollowOperationRequest, OperationEnd, RefsUpdatedRequest, RefsUpdatedResponse,
    follow_operation_response::Event,
};
use tonic::Status;

use super::{
    Push,
    build::ref_updates,
    conversation::{Conversation, HookLost},
    reconnect::Patience,
};
use crate::{hook::protocol::Update, server::Shared};

/// Why watching ended early.
enum Stop {
    Rpc(Status),
    Lost,
}

impl From<HookLost> for Stop {
    fn from(_: HookLost) -> Self {
        Self::Lost
    }
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Rpc(status)
    }
}

/// Serves one post-receive hook to its end.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    push: &Push,
    mut conversation: Conversation,
    updates: Vec<Update>,
) -> Result<(), HookLost> {
    let mut patience = Patience::new(shared);
    let opened = match announce(shared, push, &mut conversation, &mut patience, &updates).await {
        Ok(opened) => opened,
        Err(Stop::Rpc(status)) => {
            push.fail_deploy();
            let why = shared.explain(&status);
            conversation
                .say(&format!("error: the push is stored, but its deployment is not known: {why}"))
                .await?;
            return conversation.finish(true).await;
        }
        Err(Stop::Lost) => return Err(HookLost),
    };
    conversation.say_all(&opened.lines).await?;
    if opened.operation_id.is_empty() {
        return conversation.finish(true).await;
    }
    let watched = tokio::select! {
        watched = watch(shared, push, &mut conversation, &mut patience, &opened.operation_id) => watched,
        () = push.client_gone.cancelled() => return Err(HookLost),
    };
    match watched {
        Ok(end) => tell_end(push, &mut conversation, &end).await?,
        Err(Stop::Rpc(status)) => {
            push.fail_deploy();
            let why = shared.explain(&status);
            let line = format!("error: {why}. The deployment goes on: `paastech status` shows it");
            conversation.say(&line).await?;
        }
        Err(Stop::Lost) => return Err(HookLost),
    }
    conversation.finish(true).await
}

async fn announce(
    shared: &Shared,
    push: &Push,
    conversation: &mut Conversation,
    patience: &mut Patience,
    updates: &[Update],
) -> Result<RefsUpdatedResponse, Stop> {
    let request = RefsUpdatedRequest { push_id: push.id.to_string(), updates: ref_updates(updates) };
    loop {
        match shared.control.refs_updated(request.clone()).await {
            Ok(response) => {
                patience.answered();
                return Ok(response);
            }
            Err(status) if patience.wait(shared, &status, conversation).await? => {}
            Err(status) => return Err(status.into()),
        }
    }
}

async fn watch(
    shared: &Shared,
    push: &Push,
    conversation: &mut Conversation,
    patience: &mut Patience,
    operation: &str,
) -> Result<OperationEnd, Stop> {
    let mut next = 1;
    loop {
        match follow(shared, push, conversation, patience, operation, &mut next).await {
            Err(Stop::Rpc(status)) if patience.wait(shared, &status, conversation).await? => {}
            other => return other,
        }
    }
}

async fn follow(
    shared: &Shared,
    push: &Push,
    conversation: &mut Conversation,
    patience: &mut Patience,
    operation: &str,
    next: &mut u64,
) -> Result<OperationEnd, Stop> {
    let request = FollowOperationRequest {
        account_id: push.account.id.to_string(),
        operation_id: operation.to_owned(),
        from_seq: *next,
    };
    let mut stream = shared.control.follow_operation(request).await?;
    patience.answered();
    loop {
        let message = tokio::select! {
            message = stream.message() => message?,
            lost = conversation.lost() => return Err(lost.into()),
        };
        let Some(message) = message else {
            return Err(Status::unavailable("the deployment's log ended before the deployment").into());
        };
        patience.renew();
        match message.event {
            Some(Event::Line(line)) if line.seq < *next => {}
            Some(Event::Line(line)) => {
                *next = line.seq + 1;
                conversation.log(&line.text).await?;
            }
            Some(Event::End(end)) => return Ok(end),
            None => {}
        }
    }
}

async fn tell_end(push: &Push, conversation: &mut Conversation, end: &OperationEnd) -> Result<(), HookLost> {
    if end.state == "done" {
        if end.url.is_empty() {
            return Ok(());
        }
        return conversation.say(&format!("{} is live at {}", push.project.slug, end.url)).await;
    }
    push.fail_deploy();
    let why = if end.message.is_empty() { "no reason is known" } else { &end.message };
    conversation.say(&format!("error: the deployment is {}: {why}", end.state)).await?;
    conversation.say("The push is stored; what ran before still runs.").await
}
