//! The api as the SSH server sees it: a real `Control` server whose answers a test sets and whose calls it reads.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use paastech_proto::control::{
    AuthenticateKeyRequest, AuthenticateKeyResponse, AuthorizeRequest, AuthorizeResponse, ClosePushRequest,
    ClosePushResponse, FollowOperationRequest, FollowOperationResponse, FollowPushRequest,
    FollowPushResponse, LogLine, OpenPushRequest, OpenPushResponse, OperationEnd, PushAction,
    PutPushSourceRequest, PutPushSourceResponse, RefsUpdatedRequest, RefsUpdatedResponse, SourceWanted,
    Verdict,
    control_server::{Control, ControlServer},
    follow_operation_response::Event as OperationEvent,
    follow_push_response::Event as PushEvent,
    put_push_source_request::Part,
};
use paastech_runtime::{Transport, transport};
use paastech_types::{AccountId, KeyId, OperationId, ProjectId};
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

/// How a build goes.
#[derive(Clone)]
pub(crate) struct Build {
    pub(crate) lines: Vec<String>,
    pub(crate) accepted: bool,
    pub(crate) message: String,
    /// After its lines the build goes on until the test lets it end.
    pub(crate) held: bool,
}

/// How a deployment goes.
#[derive(Clone)]
pub(crate) struct Deploy {
    pub(crate) state: String,
    pub(crate) message: String,
    pub(crate) url: String,
    pub(crate) held: bool,
}

/// One project as the api knows it.
#[derive(Clone)]
pub(crate) struct Project {
    pub(crate) id: ProjectId,
    pub(crate) slug: String,
    pub(crate) owner: AccountId,
    pub(crate) max_push_bytes: u64,
    pub(crate) max_source_bytes: u64,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) keys: HashMap<Vec<u8>, (AccountId, String)>,
    /// Keys that were looked up, and whether they were proven.
    pub(crate) lookups: Vec<bool>,
    /// The key ids that were given out.
    pub(crate) key_ids: HashSet<String>,
    pub(crate) projects: Vec<Project>,
    pub(crate) readers: HashSet<AccountId>,
    pub(crate) build: Option<Build>,
    pub(crate) deploy: Option<Deploy>,
    /// What was called, in order.
    pub(crate) opened: Vec<OpenPushRequest>,
    pub(crate) sources: Vec<Vec<u8>>,
    pub(crate) cut_sources: usize,
    pub(crate) followed_from: Vec<u64>,
    pub(crate) updated: Vec<RefsUpdatedRequest>,
    pub(crate) closed: Vec<String>,
    /// Once, the source is asked for a second time.
    pub(crate) lose_source: bool,
    pub(crate) sent_lines: usize,
    /// Done when the next push is opened.
    pub(crate) on_open: Option<Box<dyn FnOnce() + Send>>,
}

#[derive(Clone, Default)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    down: Arc<AtomicBool>,
    released: Arc<AtomicBool>,
}

impl Fake {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panicked while holding it")
    }

    pub(crate) fn transport(&self) -> Transport {
        transport::in_process(self.server())
    }

    pub(crate) fn server(&self) -> ControlServer<Self> {
        ControlServer::new(self.clone())
    }

    /// From now on nothing answers, and every stream breaks.
    pub(crate) fn go_away(&self) {
        self.down.store(true, Ordering::SeqCst);
    }

    pub(crate) fn come_back(&self) {
        self.down.store(false, Ordering::SeqCst);
    }

    /// Lets what is held end.
    pub(crate) fn release(&self) {
        self.released.store(true, Ordering::SeqCst);
    }

    fn up(&self) -> Result<(), Status> {
        if self.down.load(Ordering::SeqCst) { Err(Status::unavailable("connection refused")) } else { Ok(()) }
    }

    /// Waits until what is held may end; an error once the api has gone away.
    async fn hold(&self, held: bool) -> Result<(), Status> {
        while held && !self.released.load(Ordering::SeqCst) {
            self.up()?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.up()
    }

    async fn play_push(
        &self,
        from: u64,
        send: &mpsc::Sender<Result<FollowPushResponse, Status>>,
    ) -> Result<(), Status> {
        if std::mem::take(&mut self.state().lose_source) {
            let event = Some(PushEvent::SourceWanted(SourceWanted {}));
            send.send(Ok(FollowPushResponse { event })).await.ok();
            return Ok(());
        }
        let build = self.state().build.clone().ok_or_else(|| Status::not_found("no build"))?;
        for (seq, text) in (1..).zip(&build.lines) {
            self.up()?;
            if seq >= from {
                let line = LogLine { seq, at_ms: 0, text: text.clone() };
                let event = Some(PushEvent::Line(line));
                send.send(Ok(FollowPushResponse { event })).await.ok();
                self.state().sent_lines += 1;
            }
        }
        self.hold(build.held).await?;
        let verdict = Verdict { accepted: build.accepted, message: build.message };
        send.send(Ok(FollowPushResponse { event: Some(PushEvent::Verdict(verdict)) })).await.ok();
        Ok(())
    }

    async fn play_operation(
        &self,
        from: u64,
        send: &mpsc::Sender<Result<FollowOperationResponse, Status>>,
    ) -> Result<(), Status> {
        let deploy = self.state().deploy.clone().ok_or_else(|| Status::not_found("no deployment"))?;
        if from <= 1 {
            let line = LogLine { seq: 1, at_ms: 0, text: "starting".to_owned() };
            let event = Some(OperationEvent::Line(line));
            send.send(Ok(FollowOperationResponse { event })).await.ok();
        }
        self.hold(deploy.held).await?;
        let end = OperationEnd { state: deploy.state, message: deploy.message, url: deploy.url };
        send.send(Ok(FollowOperationResponse { event: Some(OperationEvent::End(end)) })).await.ok();
        Ok(())
    }
}

type Boxed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Control for Fake {
    async fn authenticate_key(
        &self,
        request: Request<AuthenticateKeyRequest>,
    ) -> Result<Response<AuthenticateKeyResponse>, Status> {
        self.up()?;
        let request = request.into_inner();
        assert_eq!(request.fingerprint.len(), 32, "a SHA-256 fingerprint");
        let mut state = self.state();
        state.lookups.push(request.proven);
        let found = state.keys.get(&request.blob).cloned();
        let (id, account_name) = found.ok_or_else(|| Status::not_found("unknown key"))?;
        let key_id = KeyId::new().to_string();
        state.key_ids.insert(key_id.clone());
        Ok(Response::new(AuthenticateKeyResponse { account_id: id.to_string(), account_name, key_id }))
    }

    async fn authorize(
        &self,
        request: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeResponse>, Status> {
        self.up()?;
        let request = request.into_inner();
        let account: AccountId = request.account_id.parse().expect("an id");
        let state = self.state();
        if !state.key_ids.contains(&request.key_id) {
            return Err(Status::not_found("no such key"));
        }
        let named =
            |project: &&Project| project.slug == request.project || project.id.to_string() == request.project;
        let project =
            state.projects.iter().find(named).ok_or_else(|| Status::not_found("no such project"))?;
        let reader = state.readers.contains(&account);
        if project.owner != account && !reader {
            return Err(Status::not_found("no such project"));
        }
        if reader && request.access == 2 {
            return Err(Status::permission_denied("viewers do not push"));
        }
        Ok(Response::new(AuthorizeResponse {
            project_id: project.id.to_string(),
            slug: project.slug.clone(),
            deploy_branch: "main".to_owned(),
            max_push_bytes: project.max_push_bytes,
            max_source_bytes: project.max_source_bytes,
        }))
    }

    async fn open_push(
        &self,
        request: Request<OpenPushRequest>,
    ) -> Result<Response<OpenPushResponse>, Status> {
        self.up()?;
        let request = request.into_inner();
        let mut state = self.state();
        let again = state.opened.iter().any(|open| open.push_id == request.push_id);
        let running = state.opened.iter().any(|open| {
            open.push_id != request.push_id
                && open.project_id == request.project_id
                && !state.closed.contains(&open.push_id)
                && open.updates.iter().any(|update| update.name == "refs/heads/main")
        });
        let deploy = request.updates.iter().find(|update| update.name == "refs/heads/main").cloned();
        if !again {
            state.opened.push(request);
        }
        if let Some(act) = state.on_open.take() {
            act();
        }
        Ok(Response::new(match deploy {
            None => OpenPushResponse {
                action: PushAction::Store.into(),
                lines: vec!["not the deploy branch (main), nothing built".to_owned()],
                build_commit: String::new(),
            },
            Some(_) if running => OpenPushResponse {
                action: PushAction::Reject.into(),
                lines: vec!["another push is being built: build 42".to_owned()],
                build_commit: String::new(),
            },
            Some(update) => OpenPushResponse {
                action: PushAction::Build.into(),
                lines: Vec::new(),
                build_commit: update.new_oid,
            },
        }))
    }

    async fn put_push_source(
        &self,
        request: Request<Streaming<PutPushSourceRequest>>,
    ) -> Result<Response<PutPushSourceResponse>, Status> {
        self.up()?;
        let mut stream = request.into_inner();
        let mut source = Vec::new();
        loop {
            let message = stream.message().await.ok().flatten();
            match message.and_then(|message| message.part) {
                Some(Part::Chunk(chunk)) => source.extend_from_slice(&chunk),
                Some(Part::Header(header)) => assert_eq!(header.tree.len(), 40),
                Some(Part::End(_)) => break,
                None => {
                    self.state().cut_sources += 1;
                    return Err(Status::unavailable("the source was cut off"));
                }
            }
        }
        self.state().sources.push(source);
        Ok(Response::new(PutPushSourceResponse { operation_id: OperationId::new().to_string() }))
    }

    type FollowPushStream = Boxed<FollowPushResponse>;

    async fn follow_push(
        &self,
        request: Request<FollowPushRequest>,
    ) -> Result<Response<Self::FollowPushStream>, Status> {
        self.up()?;
        let from = request.into_inner().from_seq;
        self.state().followed_from.push(from);
        let (send, receive) = mpsc::channel(1);
        let fake = self.clone();
        tokio::spawn(async move {
            if let Err(status) = fake.play_push(from, &send).await {
                send.send(Err(status)).await.ok();
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }

    async fn refs_updated(
        &self,
        request: Request<RefsUpdatedRequest>,
    ) -> Result<Response<RefsUpdatedResponse>, Status> {
        self.up()?;
        let request = request.into_inner();
        let deployed = request.updates.iter().any(|update| update.name == "refs/heads/main");
        self.state().updated.push(request);
        let operation_id = if deployed { OperationId::new().to_string() } else { String::new() };
        Ok(Response::new(RefsUpdatedResponse { operation_id, lines: Vec::new() }))
    }

    async fn close_push(
        &self,
        request: Request<ClosePushRequest>,
    ) -> Result<Response<ClosePushResponse>, Status> {
        self.up()?;
        self.state().closed.push(request.into_inner().push_id);
        Ok(Response::new(ClosePushResponse {}))
    }

    type FollowOperationStream = Boxed<FollowOperationResponse>;

    async fn follow_operation(
        &self,
        request: Request<FollowOperationRequest>,
    ) -> Result<Response<Self::FollowOperationStream>, Status> {
        self.up()?;
        let from = request.into_inner().from_seq;
        let (send, receive) = mpsc::channel(1);
        let fake = self.clone();
        tokio::spawn(async move {
            if let Err(status) = fake.play_operation(from, &send).await {
                send.send(Err(status)).await.ok();
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }
}
