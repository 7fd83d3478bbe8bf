//! Neighbours that do as a test says, and remember what they were asked.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
};

use paastech_proto::{
    git::{self, git_controller_server},
    pomegranate::{self, pomegranate_server},
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

type Answer<T> = Result<Response<T>, Status>;
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the neighbours were asked, and how they answer.
#[derive(Clone, Default)]
pub(super) struct Neighbours {
    pub(super) calls: Arc<Mutex<Vec<String>>>,
    /// The call with this name fails so many times with UNAVAILABLE.
    pub(super) failing: Arc<Mutex<Option<(&'static str, usize)>>>,
    /// The call with this name always fails with INTERNAL.
    pub(super) broken: Arc<Mutex<Option<&'static str>>>,
    /// So many archives are cut off without a word.
    pub(super) cut_archives: Arc<Mutex<usize>>,
    /// The engine has lost what was built, until the next build.
    pub(super) image_gone: Arc<Mutex<bool>>,
    /// What was to be kept of images, each time that it was asked.
    pub(super) kept_images: Arc<Mutex<Vec<Vec<String>>>>,
    /// The token for the registry that each of these calls brought.
    pub(super) tokens: Arc<Mutex<Vec<(&'static str, String)>>>,
    pub(super) never_ready: Arc<Mutex<bool>>,
    pub(super) keeps_ending: Arc<Mutex<bool>>,
    pub(super) build_fails: Arc<Mutex<bool>>,
    pub(super) registry_down: Arc<Mutex<bool>>,
    /// The containers there are.
    pub(super) running: Arc<Mutex<Vec<pomegranate::Container>>>,
    /// From this call of `confirm_release` on, so many of them find no route.
    pub(super) unrouted: Arc<Mutex<Option<(usize, usize)>>>,
}

impl Neighbours {
    pub(super) fn note(&self, call: &'static str) -> Result<(), Status> {
        self.calls.lock().expect("calls").push(call.to_owned());
        if *self.broken.lock().expect("broken") == Some(call) {
            return Err(Status::internal("something"));
        }
        let mut failing = self.failing.lock().expect("failing");
        match failing.as_mut() {
            Some((name, left)) if *name == call && *left > 0 => {
                *left -= 1;
                Err(Status::unavailable("not now"))
            }
            _ => Ok(()),
        }
    }

    fn bring(&self, call: &'static str, token: &str) {
        self.tokens.lock().expect("tokens").push((call, token.to_owned()));
    }

    pub(super) fn count(&self, call: &str) -> usize {
        self.calls.lock().expect("calls").iter().filter(|made| *made == call).count()
    }
}

#[tonic::async_trait]
impl git_controller_server::GitController for Neighbours {
    async fn create_repository(
        &self,
        _: Request<git::CreateRepositoryRequest>,
    ) -> Answer<git::CreateRepositoryResponse> {
        Ok(Response::new(git::CreateRepositoryResponse {}))
    }
    async fn delete_repository(
        &self,
        _: Request<git::DeleteRepositoryRequest>,
    ) -> Answer<git::DeleteRepositoryResponse> {
        self.note("delete_repository")?;
        Ok(Response::new(git::DeleteRepositoryResponse {}))
    }
    async fn inspect_repository(
        &self,
        _: Request<git::InspectRepositoryRequest>,
    ) -> Answer<git::InspectRepositoryResponse> {
        Err(Status::not_found("none"))
    }
    async fn set_deploy_branch(
        &self,
        _: Request<git::SetDeployBranchRequest>,
    ) -> Answer<git::SetDeployBranchResponse> {
        Ok(Response::new(git::SetDeployBranchResponse {}))
    }
    async fn list_refs(&self, _: Request<git::ListRefsRequest>) -> Answer<git::ListRefsResponse> {
        let head = git::Ref { name: "refs/heads/main".to_owned(), oid: "c".repeat(40) };
        Ok(Response::new(git::ListRefsResponse { refs: vec![head] }))
    }
    async fn resolve_revision(
        &self,
        request: Request<git::ResolveRevisionRequest>,
    ) -> Answer<git::ResolveRevisionResponse> {
        let commit = request.into_inner().revision;
        // Commits of digits have trees of their own.
        let tree = if commit.starts_with(char::is_numeric) { commit.clone() } else { "d".repeat(40) };
        Ok(Response::new(git::ResolveRevisionResponse { commit, tree, subject: String::new() }))
    }
    type ArchiveStream = Answers<git::ArchiveResponse>;
    async fn archive(&self, _: Request<git::ArchiveRequest>) -> Answer<Self::ArchiveStream> {
        self.note("archive")?;
        let chunk = git::ArchiveResponse { chunk: vec![0; 1024].into(), end: false };
        let end = git::ArchiveResponse { chunk: Vec::new().into(), end: true };
        let mut cut = self.cut_archives.lock().expect("cut_archives");
        if *cut > 0 {
            *cut -= 1;
            return Ok(Response::new(Box::pin(tokio_stream::once(Ok(chunk)))));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter([Ok(chunk), Ok(end)]))))
    }
    async fn maintain(&self, _: Request<git::MaintainRequest>) -> Answer<git::MaintainResponse> {
        self.note("maintain")?;
        Ok(Response::new(git::MaintainResponse { size_bytes: 0 }))
    }
    async fn list_repositories(
        &self,
        _: Request<git::ListRepositoriesRequest>,
    ) -> Answer<git::ListRepositoriesResponse> {
        Ok(Response::new(git::ListRepositoriesResponse { project_ids: Vec::new() }))
    }
    type ExportRepositoryStream = Answers<git::ExportRepositoryResponse>;
    async fn export_repository(
        &self,
        _: Request<git::ExportRepositoryRequest>,
    ) -> Answer<Self::ExportRepositoryStream> {
        Err(Status::unimplemented("operations copy no repository"))
    }
    async fn import_repository(
        &self,
        _: Request<Streaming<git::ImportRepositoryRequest>>,
    ) -> Answer<git::ImportRepositoryResponse> {
        Err(Status::unimplemented("operations copy no repository"))
    }
}

pub(super) fn container(release: &str) -> pomegranate::Container {
    pomegranate::Container {
        name: format!("pt-{release}"),
        release_id: release.to_owned(),
        process: "web".to_owned(),
        state: "running".to_owned(),
        health: "healthy".to_owned(),
        ..Default::default()
    }
}

#[tonic::async_trait]
impl pomegranate_server::Pomegranate for Neighbours {
    async fn put_source(
        &self,
        request: Request<Streaming<pomegranate::PutSourceRequest>>,
    ) -> Answer<pomegranate::PutSourceResponse> {
        self.note("put_source")?;
        let mut parts = request.into_inner();
        while let Some(part) = parts.message().await? {
            if let Some(pomegranate::put_source_request::Part::End(_)) = part.part {
                return Ok(Response::new(pomegranate::PutSourceResponse { bytes: 1024 }));
            }
        }
        Err(Status::unavailable("the stream was cut off"))
    }
    async fn start_build(
        &self,
        request: Request<pomegranate::StartBuildRequest>,
    ) -> Answer<pomegranate::StartBuildResponse> {
        self.bring("start_build", &request.get_ref().registry_token);
        if self.count("put_source") == 0 {
            return Err(Status::not_found("no source"));
        }
        self.note("start_build")?;
        Ok(Response::new(pomegranate::StartBuildResponse {}))
    }
    type FollowBuildStream = Answers<pomegranate::FollowBuildResponse>;
    async fn follow_build(
        &self,
        _: Request<pomegranate::FollowBuildRequest>,
    ) -> Answer<Self::FollowBuildStream> {
        use pomegranate::{BuildOutcome, follow_build_response::Event};
        self.note("follow_build")?;
        *self.image_gone.lock().expect("image_gone") = false;
        let line = pomegranate::LogLine { seq: 1, at_ms: 1, text: "step 1".to_owned() };
        let failed = *self.build_fails.lock().expect("build_fails");
        let process = pomegranate::Process { name: "web".to_owned(), ..Default::default() };
        let image = pomegranate::Image {
            id: "sha256:1".to_owned(),
            reference: format!("pt-{}", self.count("start_build")),
            port: 80,
            processes: vec![process],
            size_bytes: 1,
            ..pomegranate::Image::default()
        };
        let outcome = match failed {
            true if *self.registry_down.lock().expect("registry_down") => BuildOutcome::Unavailable,
            true => BuildOutcome::Failed,
            false => BuildOutcome::Succeeded,
        };
        let result = pomegranate::BuildResult {
            outcome: outcome.into(),
            message: if failed { "step 1 exited with code 1".to_owned() } else { String::new() },
            image: (!failed).then_some(image),
        };
        let events = [Event::Line(line), Event::Result(result)];
        let events = events.map(|event| Ok(pomegranate::FollowBuildResponse { event: Some(event) }));
        Ok(Response::new(Box::pin(tokio_stream::iter(events))))
    }
    async fn cancel_build(
        &self,
        _: Request<pomegranate::CancelBuildRequest>,
    ) -> Answer<pomegranate::CancelBuildResponse> {
        self.note("cancel_build")?;
        Ok(Response::new(pomegranate::CancelBuildResponse {}))
    }
    async fn start_release(
        &self,
        request: Request<pomegranate::StartReleaseRequest>,
    ) -> Answer<pomegranate::StartReleaseResponse> {
        self.bring("start_release", &request.get_ref().registry_token);
        self.note("start_release")?;
        if *self.image_gone.lock().expect("image_gone") {
            return Err(Status::not_found("no such image"));
        }
        let containers = vec![container(&request.into_inner().release_id)];
        self.running.lock().expect("running").extend(containers.clone());
        Ok(Response::new(pomegranate::StartReleaseResponse { containers, port: 80 }))
    }
    async fn await_release(
        &self,
        _: Request<pomegranate::AwaitReleaseRequest>,
    ) -> Answer<pomegranate::AwaitReleaseResponse> {
        self.note("await_release")?;
        let ready = !*self.never_ready.lock().expect("never_ready");
        let reason = if ready { String::new() } else { "nothing listens on port 80".to_owned() };
        let line = pomegranate::LogLine { seq: 1, at_ms: 1, text: "Traceback".to_owned() };
        let last_lines = if ready { Vec::new() } else { vec![line] };
        Ok(Response::new(pomegranate::AwaitReleaseResponse { ready, reason, last_lines }))
    }
    async fn open_gate(
        &self,
        _: Request<pomegranate::OpenGateRequest>,
    ) -> Answer<pomegranate::OpenGateResponse> {
        self.note("open_gate")?;
        let keeps_ending = *self.keeps_ending.lock().expect("keeps_ending");
        let reason = if keeps_ending { "exited with code 4" } else { "" };
        Ok(Response::new(pomegranate::OpenGateResponse { reason: reason.to_owned(), last_lines: Vec::new() }))
    }
    async fn confirm_release(
        &self,
        _: Request<pomegranate::ConfirmReleaseRequest>,
    ) -> Answer<pomegranate::ConfirmReleaseResponse> {
        self.note("confirm_release")?;
        let (made, unrouted) = (self.count("confirm_release"), *self.unrouted.lock().expect("unrouted"));
        if unrouted.is_some_and(|(from, count)| (from..from + count).contains(&made)) {
            return Err(Status::unavailable("the proxy does not route to the release yet"));
        }
        Ok(Response::new(pomegranate::ConfirmReleaseResponse { status: 200 }))
    }
    async fn stop_release(
        &self,
        _: Request<pomegranate::StopReleaseRequest>,
    ) -> Answer<pomegranate::StopReleaseResponse> {
        self.note("stop_release")?;
        Ok(Response::new(pomegranate::StopReleaseResponse {}))
    }
    async fn remove_release(
        &self,
        request: Request<pomegranate::RemoveReleaseRequest>,
    ) -> Answer<pomegranate::RemoveReleaseResponse> {
        self.note("remove_release")?;
        let release = request.into_inner().release_id;
        self.running.lock().expect("running").retain(|container| container.release_id != release);
        Ok(Response::new(pomegranate::RemoveReleaseResponse {}))
    }
    async fn remove_project(
        &self,
        request: Request<pomegranate::RemoveProjectRequest>,
    ) -> Answer<pomegranate::RemoveProjectResponse> {
        self.bring("remove_project", &request.get_ref().registry_token);
        self.note("remove_project")?;
        Ok(Response::new(pomegranate::RemoveProjectResponse {}))
    }
    async fn clear_cache(
        &self,
        _: Request<pomegranate::ClearCacheRequest>,
    ) -> Answer<pomegranate::ClearCacheResponse> {
        Ok(Response::new(pomegranate::ClearCacheResponse {}))
    }
    async fn list_builders(
        &self,
        _: Request<pomegranate::ListBuildersRequest>,
    ) -> Answer<pomegranate::ListBuildersResponse> {
        Ok(Response::new(pomegranate::ListBuildersResponse::default()))
    }
    async fn ensure_image(
        &self,
        request: Request<pomegranate::EnsureImageRequest>,
    ) -> Answer<pomegranate::EnsureImageResponse> {
        self.bring("ensure_image", &request.get_ref().registry_token);
        self.note("ensure_image")?;
        if *self.image_gone.lock().expect("image_gone") {
            return Err(Status::not_found("no such image"));
        }
        Ok(Response::new(pomegranate::EnsureImageResponse {}))
    }
    async fn prune_images(
        &self,
        request: Request<pomegranate::PruneImagesRequest>,
    ) -> Answer<pomegranate::PruneImagesResponse> {
        self.bring("prune_images", &request.get_ref().registry_token);
        self.kept_images.lock().expect("kept_images").push(request.into_inner().keep);
        Ok(Response::new(pomegranate::PruneImagesResponse {}))
    }
    async fn collect_registry(
        &self,
        _: Request<pomegranate::CollectRegistryRequest>,
    ) -> Answer<pomegranate::CollectRegistryResponse> {
        self.note("collect_registry")?;
        Ok(Response::new(pomegranate::CollectRegistryResponse {}))
    }
    async fn status(&self, _: Request<pomegranate::StatusRequest>) -> Answer<pomegranate::StatusResponse> {
        let containers = self.running.lock().expect("running").clone();
        Ok(Response::new(pomegranate::StatusResponse { containers }))
    }
    type LogsStream = Answers<pomegranate::LogsResponse>;
    async fn logs(&self, _: Request<pomegranate::LogsRequest>) -> Answer<Self::LogsStream> {
        Err(Status::not_found("none"))
    }
    async fn stats(&self, _: Request<pomegranate::StatsRequest>) -> Answer<pomegranate::StatsResponse> {
        Ok(Response::new(pomegranate::StatsResponse { containers: Vec::new() }))
    }
    async fn list(&self, _: Request<pomegranate::ListRequest>) -> Answer<pomegranate::ListResponse> {
        Ok(Response::new(pomegranate::ListResponse::default()))
    }
    async fn seed_fences(
        &self,
        _: Request<pomegranate::SeedFencesRequest>,
    ) -> Answer<pomegranate::SeedFencesResponse> {
        Ok(Response::new(pomegranate::SeedFencesResponse {}))
    }
}
