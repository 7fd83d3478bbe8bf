//! One `git push` as the server sees it: who pushes what, how far it has come, and how it ends.

mod build;
mod conversation;
mod deploy;
pub(crate) mod listener;
mod reconnect;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use paastech_runtime::trace::Trace;
use paastech_types::{ProjectId, PushId};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::server::Account;

/// The project that is pushed to, as the api described it.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    pub(crate) id: ProjectId,
    pub(crate) slug: String,
    pub(crate) deploy_branch: String,
    pub(crate) max_push_bytes: u64,
    pub(crate) max_source_bytes: u64,
}

/// How far a push has come. It only ever goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// The pack is arriving.
    Receiving,
    /// pre-receive has said hello.
    Checking,
    /// Ended before its refs moved: the client has gone, or time is up.
    Interrupted,
    /// pre-receive was told to let the refs move.
    Accepted,
    /// post-receive has said hello.
    Deploying,
}

#[derive(Debug)]
struct Progress {
    stage: Stage,
    /// The api knows of the push and must be told of its end.
    opened: bool,
    deploy_failed: bool,
}

/// One push. Its token is good for as long as it is registered.
pub(crate) struct Push {
    pub(crate) id: PushId,
    pub(crate) account: Account,
    pub(crate) project: Project,
    /// The session's, which its hooks continue.
    pub(crate) trace: Trace,
    span: Span,
    progress: Mutex<Progress>,
    interrupted: CancellationToken,
    client_gone: CancellationToken,
}

impl Push {
    pub(crate) fn new(account: Account, project: Project) -> Arc<Self> {
        let progress = Progress { stage: Stage::Receiving, opened: false, deploy_failed: false };
        Arc::new(Self {
            id: PushId::new(),
            account,
            project,
            trace: Trace::current(),
            span: Span::current(),
            progress: Mutex::new(progress),
            interrupted: CancellationToken::new(),
            client_gone: CancellationToken::new(),
        })
    }

    /// A span for one of its hooks.
    fn hook_span(&self, hook: &'static str) -> Span {
        tracing::info_span!(parent: &self.span, "hook", hook, push.id = %self.id)
    }

    pub(crate) fn stage(&self) -> Stage {
        self.progress().stage
    }

    /// Goes from one stage to the next; false if the push is not, or no longer, at `from`.
    fn advance(&self, from: Stage, to: Stage) -> bool {
        let mut progress = self.progress();
        let there = progress.stage == from;
        if there {
            progress.stage = to;
        }
        there
    }

    /// Ends the push unless its refs may already have moved: then it goes on without anybody watching.
    pub(crate) fn interrupt(&self) -> bool {
        let mut progress = self.progress();
        if progress.stage >= Stage::Accepted {
            return false;
        }
        progress.stage = Stage::Interrupted;
        self.interrupted.cancel();
        true
    }

    /// Notes that nobody reads any more; true if that ends the push.
    pub(crate) fn lose_client(&self) -> bool {
        self.client_gone.cancel();
        self.interrupt()
    }

    fn open(&self) {
        self.progress().opened = true;
    }

    pub(crate) fn is_open(&self) -> bool {
        self.progress().opened
    }

    fn fail_deploy(&self) {
        self.progress().deploy_failed = true;
    }

    pub(crate) fn deploy_failed(&self) -> bool {
        self.progress().deploy_failed
    }

    /// How it ended, as it is counted, git having exited with `status`.
    pub(crate) fn outcome(&self, status: u32) -> &'static str {
        let progress = self.progress();
        match progress.stage {
            Stage::Receiving if status == 0 => "up_to_date",
            Stage::Receiving => "failed",
            Stage::Checking => "rejected",
            Stage::Interrupted => "interrupted",
            Stage::Accepted | Stage::Deploying if progress.deploy_failed => "deploy_failed",
            Stage::Accepted | Stage::Deploying => "accepted",
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pushes under way, by the token that their hooks hold.
#[derive(Clone, Default)]
pub(crate) struct Pushes(Arc<Mutex<HashMap<String, Arc<Push>>>>);

/// A push's place among those under way; it ends with the git child.
pub(crate) struct Registration {
    pushes: Pushes,
    pub(crate) token: String,
}

impl Pushes {
    /// Registers a push under a new 128-bit token.
    pub(crate) fn register(&self, push: &Arc<Push>) -> Registration {
        let token = hex::encode(rand::random::<[u8; 16]>());
        self.map().insert(token.clone(), push.clone());
        Registration { pushes: self.clone(), token }
    }

    fn find(&self, token: &str) -> Option<Arc<Push>> {
        self.map().get(token).cloned()
    }

    fn map(&self) -> MutexGuard<'_, HashMap<String, Arc<Push>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.pushes.map().remove(&self.token);
    }
}

#[cfg(test)]
mod tests {
    use paastech_types::{AccountId, KeyId};

    use super::*;

    fn push() -> Arc<Push> {
        let account = Account { id: AccountId::new(), name: "ada".to_owned(), key: KeyId::new() };
        let project = Project {
            id: ProjectId::new(),
            slug: "shop".to_owned(),
            deploy_branch: "main".to_owned(),
            max_push_bytes: 1,
            max_source_bytes: 1,
        };
        Push::new(account, project)
    }

    #[test]
    fn a_client_that_leaves_ends_a_push_only_before_its_refs_move() {
        let early = push();
        assert!(early.advance(Stage::Receiving, Stage::Checking));
        assert!(early.lose_client());
        assert!(!early.advance(Stage::Checking, Stage::Accepted), "too late to be accepted");

        let late = push();
        assert!(late.advance(Stage::Receiving, Stage::Checking));
        assert!(late.advance(Stage::Checking, Stage::Accepted));
        assert!(!late.lose_client());
        assert!(late.advance(Stage::Accepted, Stage::Deploying));
        assert_eq!((early.outcome(0), late.outcome(0)), ("interrupted", "accepted"));
        late.fail_deploy();
        assert_eq!(
            (late.outcome(0), push().outcome(0), push().outcome(1)),
            ("deploy_failed", "up_to_date", "failed")
        );
    }

    #[test]
    fn a_token_is_good_while_its_push_lives() {
        let pushes = Pushes::default();
        let registration = pushes.register(&push());
        let token = registration.token.clone();
        assert_eq!(token.len(), 32);
        assert!(pushes.find(&token).is_some());
        drop(registration);
        assert!(pushes.find(&token).is_none());
    }
}
