//! pre-receive, seen from the server: ask the api what becomes of the push, send it the source, follow the build to
//! its verdict. The push id survives every reconnect, so a build outlives a restart of the api.

use std::{sync::Arc, time::Duration};

use paastech_proto::control::{
    FollowPushRequest, OpenPushRequest, OpenPushResponse, PushAction, PushSourceEnd, PushSourceHeader,
    PutPushSourceRequest, RefUpdate, follow_push_response::Event, put_push_source_request::Part,
};
use paastech_types::Oid;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};

use super::{
    Push, Stage,
    conversation::{Conversation, HookLost},
    reconnect::Patience,
};
use crate::{
    hook::protocol::{ToHook, ToServer, Update},
    server::Shared,
};

/// How long a tree may take to reach the api: longer than the api lets it take to Pomegranate, so that its answer comes.
const SOURCE: Duration = Duration::from_secs(11 * 60);
/// Refs under this are the platform's own.
const HIDDEN: &str = "refs/paas";

/// Why a push is refused, or why nobody can be told.
enum Stop {
    Refused(String),
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

/// Serves one pre-receive hook to its end.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    push: &Push,
    mut conversation: Conversation,
    updates: Vec<Update>,
    options: Vec<String>,
) -> Result<(), HookLost> {
    let mut check =
        Check { shared, push, conversation: &mut conversation, next: 1, operation: String::new() };
    let outcome = tokio::select! {
        outcome = check.run(&updates, options) => outcome,
        () = push.interrupted.cancelled() => return Err(HookLost),
    };
    let accepted = match outcome {
        // Only the one who takes this step lets the refs move: a client that left first has ended the push.
        Ok(()) => push.advance(Stage::Checking, Stage::Accepted),
        Err(Stop::Refused(why)) => {
            conversation.say(&format!("error: {why}")).await?;
            false
        }
        Err(Stop::Rpc(status)) => {
            let why = shared.explain(&status);
            conversation.say(&format!("error: {why}")).await?;
            false
        }
        Err(Stop::Lost) => return Err(HookLost),
    };
    conversation.finish(accepted).await
}

pub(super) fn ref_updates(updates: &[Update]) -> Vec<RefUpdate> {
    let update = |update: &Update| RefUpdate {
        name: update.name.clone(),
        old_oid: update.old.to_string(),
        new_oid: update.new.to_string(),
    };
    updates.iter().map(update).collect()
}

/// What no api needs to be asked about.
fn policy(updates: &[Update], deploy_branch: &str) -> Result<(), Stop> {
    let deploy = format!("refs/heads/{deploy_branch}");
    for update in updates {
        if update.name == deploy && update.new.is_zero() {
            return Err(Stop::Refused(format!("{deploy_branch} is the deploy branch and cannot be deleted")));
        }
        if update.name.strip_prefix(HIDDEN).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Err(Stop::Refused(format!("{HIDDEN} belongs to the platform")));
        }
    }
    Ok(())
}

struct Check<'a> {
    shared: &'a Shared,
    push: &'a Push,
    conversation: &'a mut Conversation,
    /// The sequence number of the log line that comes next.
    next: u64,
    /// The build, once the api has opened it.
    operation: String,
}

/// How following a build ended.
enum Followed {
    Verdict { accepted: bool, message: String },
    SourceWanted,
}

impl Check<'_> {
    async fn run(&mut self, updates: &[Update], options: Vec<String>) -> Result<(), Stop> {
        policy(updates, &self.push.project.deploy_branch)?;
        let request = OpenPushRequest {
            push_id: self.push.id.to_string(),
            account_id: self.push.account.id.to_string(),
            project_id: self.push.project.id.to_string(),
            key_id: self.push.account.key.to_string(),
            updates: ref_updates(updates),
            options,
        };
        self.push.open();
        let mut patience = Patience::new(self.shared);
        let opened = loop {
            match self.shared.control.open_push(request.clone()).await {
                Ok(response) => break response,
                Err(status) => self.wait_or_stop(&mut patience, status).await?,
            }
        };
        self.conversation.say_all(&opened.lines).await?;
        let Some(commit) = to_build(&opened)? else { return Ok(()) };
        let mut source_wanted = true;
        loop {
            match self.step(&commit, source_wanted, &mut patience).await {
                Ok(Followed::Verdict { accepted: true, .. }) => return Ok(()),
                Ok(Followed::Verdict { message, .. }) => return Err(Stop::Refused(message)),
                Ok(Followed::SourceWanted) => source_wanted = true,
                Err(Stop::Rpc(status)) => {
                    source_wanted = self.operation.is_empty();
                    self.wait_or_stop(&mut patience, status).await?;
                    // An api that came back knows the push by its id, if it is told it.
                    match self.shared.control.open_push(request.clone()).await {
                        Ok(response) => {
                            patience.answered();
                            to_build(&response)?;
                        }
                        Err(status) => tracing::debug!(error = status.message(), "not back yet"),
                    }
                }
                Err(stop) => return Err(stop),
            }
        }
    }

    async fn wait_or_stop(&mut self, patience: &mut Patience, status: Status) -> Result<(), Stop> {
        if patience.wait(self.shared, &status, self.conversation).await? {
            Ok(())
        } else {
            Err(status.into())
        }
    }

    async fn step(
        &mut self,
        commit: &Oid,
        source_wanted: bool,
        patience: &mut Patience,
    ) -> Result<Followed, Stop> {
        if source_wanted {
            let operation = self.send_source(commit).await?;
            patience.answered();
            if self.operation.is_empty() {
                let (follow, cancel) = ("paastech operation --follow", "paastech cancel");
                let line =
                    format!("Follow it with `{follow} {operation}`, end it with `{cancel} {operation}`");
                self.conversation.say(&line).await?;
            }
            self.operation = operation;
        }
        self.follow(patience).await
    }

    /// Relays the tree from the hook to the api. Whatever the api answers, the hook is heard out.
    async fn send_source(&mut self, commit: &Oid) -> Result<String, Stop> {
        let ours = self.shared.config.archive;
        let max_bytes = ours.max_bytes.min(self.push.project.max_source_bytes);
        let limits = paastech_git_controller::archive::Limits { max_bytes, ..ours };
        self.conversation.tell(&ToHook::SendSource { commit: commit.clone(), limits }).await?;
        let tree = match self.conversation.hear().await? {
            ToServer::SourceStart { tree } => tree,
            ToServer::SourceRefused { why } => return Err(Stop::Refused(why)),
            _ => return Err(Stop::Lost),
        };
        let (sender, receiver) = mpsc::channel(8);
        let mut request = Request::new(ReceiverStream::new(receiver));
        request.set_timeout(SOURCE);
        let control = self.shared.control.clone();
        let call = control.put_push_source(request);
        tokio::pin!(call);
        let header = PushSourceHeader {
            push_id: self.push.id.to_string(),
            commit: commit.to_string(),
            tree: tree.to_string(),
        };
        let mut answer = None;
        let mut warnings = None;
        let mut next = Part::Header(header);
        let warnings = loop {
            if answer.is_none() {
                let message = PutPushSourceRequest { part: Some(next) };
                tokio::select! {
                    early = &mut call => answer = Some(early),
                    sent = sender.send(message) => drop(sent),
                }
            }
            if let Some(warnings) = warnings {
                break warnings;
            }
            next = match self.conversation.hear().await? {
                ToServer::Chunk(data) => Part::Chunk(data.into()),
                ToServer::SourceEnd { warnings: said } => {
                    warnings = Some(said);
                    Part::End(PushSourceEnd {})
                }
                ToServer::SourceRefused { why } => return Err(Stop::Refused(why)),
                _ => return Err(Stop::Lost),
            };
        };
        drop(sender);
        let answer = match answer {
            Some(answer) => answer,
            None => tokio::select! {
                answer = &mut call => answer,
                lost = self.conversation.lost() => return Err(lost.into()),
            },
        };
        let operation = answer?.operation_id;
        for warning in warnings {
            self.conversation.say(&format!("warning: {warning}")).await?;
        }
        Ok(operation)
    }

    async fn follow(&mut self, patience: &mut Patience) -> Result<Followed, Stop> {
        let request = FollowPushRequest { push_id: self.push.id.to_string(), from_seq: self.next };
        let mut stream = self.shared.control.follow_push(request).await?;
        patience.answered();
        loop {
            let message = tokio::select! {
                message = stream.message() => message?,
                lost = self.conversation.lost() => return Err(lost.into()),
            };
            let Some(message) = message else {
                return Err(Status::unavailable("the build's log ended without a verdict").into());
            };
            patience.renew();
            match message.event {
                Some(Event::Line(line)) if line.seq < self.next => {}
                Some(Event::Line(line)) => {
                    self.next = line.seq + 1;
                    self.conversation.log(&line.text).await?;
                }
                Some(Event::Verdict(verdict)) => {
                    return Ok(Followed::Verdict { accepted: verdict.accepted, message: verdict.message });
                }
                Some(Event::SourceWanted(_)) => return Ok(Followed::SourceWanted),
                None => {}
            }
        }
    }
}

/// The commit to build, if the push is one to build.
fn to_build(opened: &OpenPushResponse) -> Result<Option<Oid>, Stop> {
    match opened.action() {
        PushAction::Store => Ok(None),
        PushAction::Build => {
            let bad = |_| Stop::Rpc(Status::internal("the api named no commit to build"));
            Ok(Some(opened.build_commit.parse().map_err(bad)?))
        }
        PushAction::Reject => Err(Stop::Refused("the push is refused".to_owned())),
        PushAction::Unspecified => Err(Stop::Rpc(Status::internal("the api gave no action"))),
    }
}
