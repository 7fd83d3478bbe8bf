//! What a step is given and what it answers.

use std::time::Duration;

use paastech_db::DbError;
use paastech_proto::{git, pomegranate};
use paastech_types::{Kind, ProjectId};
use tonic::{Code, Status};

use super::{Engine, log::Writer};
use crate::store::{
    desired,
    operation::{self, Claim, Reason, Row},
};

/// Where an operation goes after a step.
pub(crate) enum Next {
    /// To this step.
    Go(&'static str),
    /// To this step, which the step at hand has recorded together with what it did.
    Recorded(&'static str),
    /// Back to waiting for its source.
    AwaitSource,
    /// Nothing is left to do.
    Done,
}

/// Why a step did not finish.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The operation has failed: undo, or if past the commit point, try again.
    Fail(Reason),
    /// A neighbour or the database does not answer: try the same step again, later.
    Retry(String),
    /// A neighbour failed in a way that it does not explain: try again, but not for long.
    Defect(String),
    /// Somebody asked for the end.
    Cancelled,
    /// The claim is lost, or the process stops: whoever claims it next goes on.
    Lost,
}

impl Stop {
    /// What a person may read of it.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Fail(reason) => reason.text,
            Self::Retry(text) | Self::Defect(text) => text,
            Self::Cancelled => "cancelled".to_owned(),
            Self::Lost => "the claim is lost".to_owned(),
        }
    }
}

impl From<DbError> for Stop {
    fn from(error: DbError) -> Self {
        Self::Retry(error.to_string())
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Retry(format!("the log cannot be written: {error}"))
    }
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        match Kind::from_code(status.code()) {
            // A lower fence than another operation's of this project: the next try reads the new one.
            Kind::Unavailable | Kind::Timeout | Kind::Conflict => Self::Retry(status.message().to_owned()),
            Kind::Internal => Self::Defect(status.message().to_owned()),
            kind => Self::Fail(Reason { code: kind.name().to_owned(), text: status.message().to_owned() }),
        }
    }
}

/// A failure that the user reads.
pub(crate) fn fail(code: &str, text: impl Into<String>) -> Stop {
    Stop::Fail(Reason { code: code.to_owned(), text: text.into() })
}

/// One claimed operation at work.
pub(crate) struct Context<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) row: Row,
    pub(crate) project: ProjectId,
    pub(crate) claim: Claim,
    pub(crate) log: Writer,
    /// What the step at hand has said.
    pub(crate) said: Vec<String>,
    /// The release that the operation makes or works on, once known.
    pub(crate) release: Option<String>,
}

impl Context<'_> {
    /// Shows a line to whoever follows; what a repeated step says again is shown once.
    pub(crate) async fn say(&mut self, text: &str) -> Result<(), Stop> {
        if self.said.iter().any(|said| said == text) {
            return Ok(());
        }
        self.log.line(self.engine.clock.now_ms(), text).await?;
        self.said.push(text.to_owned());
        Ok(())
    }

    async fn fence(&self) -> Result<i64, Stop> {
        let mut tx = self.engine.db.read().await?;
        operation::fence(&mut tx, &self.claim).await?.ok_or(Stop::Lost)
    }

    /// The scope of a mutating call to Pomegranate; refused when the claim is lost.
    pub(crate) async fn scope(&self) -> Result<Option<pomegranate::Scope>, Stop> {
        Ok(Some(pomegranate::Scope { project_id: self.project.to_string(), fence: self.fence().await? }))
    }

    /// The scope of a mutating call to the git-controller.
    pub(crate) async fn git_scope(&self) -> Result<Option<git::Scope>, Stop> {
        Ok(Some(git::Scope { project_id: self.project.to_string(), fence: self.fence().await? }))
    }

    /// Whether somebody asked for the end.
    pub(crate) async fn check_cancelled(&self) -> Result<(), Stop> {
        let mut tx = self.engine.db.read().await?;
        let row = operation::get(&mut tx, self.claim.id).await?.ok_or(Stop::Lost)?;
        let project = desired::get(&mut tx, self.project).await?.ok_or(Stop::Lost)?;
        // A project that is being deleted gets nothing new.
        let gone = project.desired_state == "deleted" && row.kind != "delete";
        if row.cancel_requested != 0 || gone { Err(Stop::Cancelled) } else { Ok(()) }
    }

    /// Back to an earlier step, because what it made is lost; not for ever.
    pub(crate) fn again(&self, step: &'static str) -> Result<Next, Stop> {
        if self.engine.clock.now_ms() < self.row.deadline_at {
            return Ok(Next::Go(step));
        }
        Err(fail("deadline", format!("it took too long, and would have to go back to step {step}")))
    }

    /// Runs a long call, and drops it when somebody asks for the end.
    pub(crate) async fn until_cancelled<T>(
        &self,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Stop> {
        tokio::pin!(call);
        loop {
            tokio::select! {
                answer = &mut call => return Ok(answer?),
                () = tokio::time::sleep(Duration::from_millis(500)) => self.check_cancelled().await?,
            }
        }
    }
}

/// A request with a deadline of its own.
pub(crate) fn within<T>(seconds: u32, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(Duration::from_secs(u64::from(seconds)));
    request
}

/// Whether a call failed because the thing is not there.
pub(crate) fn is_absent(status: &Status) -> bool {
    status.code() == Code::NotFound
}
