//! Neighbours that do at once what they are asked, and remember it.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex},
};

use paastech_proto::{
    git::{self, git_controller_server::GitController},
    pomegranate::{self, pomegranate_server::Pomegranate},
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

type Answer<T> = Result<Response<T>, Status>;
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn done<T: Default>() -> Answer<T> {
    Ok(Response::new(T::default()))
}

/// The one commit that every repository has.
pub(crate) const COMMIT: &str = "cccccccccccccccccccccccccccccccccccccccc";

/// Both neighbours; clones share what they remember.
#[derive(Clone, Default)]
pub(crate) struct Fakes {
    repositories: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    started: Arc<Mutex<Vec<pomegranate::StartReleaseRequest>>>,
    git_down: Arc<Mutex<bool>>,
    git_held: Arc<tokio::sync::RwLock<()>>,
    fence_moved: Arc<Mutex<bool>>,
    images_lost: Arc<Mutex<bool>>,
    exports_cut: Arc<Mutex<bool>>,
    strangers: Arc<Mutex<Vec<pomegranate::Container>>>,
    dockerfile_refusal: Arc<Mutex<String>>,
}

impl Fakes {
    /// How many repositories there are.
    pub(crate) fn repositories(&self) -> usize {
        self.repositories.lock().unwrap().len()
    }

    /// What a repository holds.
    pub(crate) fn repository(&self, project: &str) -> Option<Vec<u8>> {
        self.repositories.lock().unwrap().get(project).cloned()
    }

    /// Puts something into a repository.
    pub(crate) fn fill_repository(&self, project: &str, content: &[u8]) {
        self.repositories.lock().unwrap().insert(project.to_owned(), content.to_vec());
    }

    /// From now on, repositories that are copied are cut off.
    pub(crate) fn cut_exports(&self) {
        *self.exports_cut.lock().unwrap() = true;
    }

    /// The highest fence that a release was started with.
    pub(crate) fn highest_fence(&self) -> i64 {
        let started = self.started.lock().unwrap();
        started.iter().filter_map(|one| Some(one.scope.as_ref()?.fence)).max().unwrap_or(0)
    }

    /// Every container is gone.
    pub(crate) fn lose_containers(&self) {
        self.started.lock().unwrap().clear();
    }

    /// A container runs that nobody asked for.
    pub(crate) fn run_stranger(&self) {
        let name = "pt-stranger".to_owned();
        let stranger = pomegranate::Container { name, state: "running".to_owned(), ..Default::default() };
        self.strangers.lock().unwrap().push(stranger);
    }

    /// Every repository is gone.
    pub(crate) fn lose_repositories(&self) {
        self.repositories.lock().unwrap().clear();
    }

    /// From now on, repositories cannot be made.
    pub(crate) fn break_git(&self, down: bool) {
        *self.git_down.lock().unwrap() = down;
    }

    /// Until the guard is dropped, repositories are made but nobody is told, and none is copied.
    pub(crate) async fn hold_git(&self) -> tokio::sync::OwnedRwLockWriteGuard<()> {
        self.git_held.clone().write_owned().await
    }

    /// From now on, or no longer, somebody else's fence is higher.
    pub(crate) fn move_fence(&self, moved: bool) {
        *self.fence_moved.lock().unwrap() = moved;
    }

    /// From now on, the engine has no image any more.
    pub(crate) fn lose_images(&self) {
        *self.images_lost.lock().unwrap() = true;
    }

    /// The variables that the newest release was started with.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let started = self.started.lock().unwrap();
        let last = started.last().expect("a release was started");
        last.variables.iter().map(|one| (one.name.clone(), one.value.clone())).collect()
    }
}

#[tonic::async_trait]
impl GitController for Fakes {
    async fn create_repository(
        &self,
        request: Request<git::CreateRepositoryRequest>,
    ) -> Answer<git::CreateRepositoryResponse> {
        if *self.git_down.lock().unwrap() {
            return Err(Status::unavailable("the disk is full"));
        }
        let project = request.into_inner().scope.unwrap().project_id;
        self.repositories.lock().unwrap().entry(project).or_default();
        drop(self.git_held.read().await);
        done()
    }
    async fn delete_repository(
        &self,
        request: Request<git::DeleteRepositoryRequest>,
    ) -> Answer<git::DeleteRepositoryResponse> {
        let project = request.into_inner().scope.unwrap().project_id;
        self.repositories.lock().unwrap().remove(&project);
        done()
    }
    async fn inspect_repository(
        &self,
        _: Request<git::InspectRepositoryRequest>,
    ) -> Answer<git::InspectRepositoryResponse> {
        Err(Status::not_found("no such repository"))
    }
    async fn set_deploy_branch(
        &self,
        _: Request<git::SetDeployBranchRequest>,
    ) -> Answer<git::SetDeployBranchResponse> {
        done()
    }
    /// The deploy branch is unborn, so that the scan of refs deploys nothing by itself.
    async fn list_refs(&self, _: Request<git::ListRefsRequest>) -> Answer<git::ListRefsResponse> {
        done()
    }
    async fn resolve_revision(
        &self,
        request: Request<git::ResolveRevisionRequest>,
    ) -> Answer<git::ResolveRevisionResponse> {
        let revision = request.into_inner().revision;
        if !["main", "v1.0", COMMIT].contains(&revision.as_str()) {
            return Err(Status::not_found("no such revision"));
        }
        let (commit, tree) = (COMMIT.to_owned(), "d".repeat(40));
        Ok(Response::new(git::ResolveRevisionResponse { commit, tree, subject: "first".to_owned() }))
    }
    type ArchiveStream = Answers<git::ArchiveResponse>;
    async fn archive(&self, _: Request<git::ArchiveRequest>) -> Answer<Self::ArchiveStream> {
        let chunk = git::ArchiveResponse { chunk: vec![0; 1024].into(), end: false };
        let end = git::ArchiveResponse { chunk: Vec::new().into(), end: true };
        Ok(Response::new(Box::pin(tokio_stream::iter([Ok(chunk), Ok(end)]))))
    }
    async fn maintain(&self, _: Request<git::MaintainRequest>) -> Answer<git::MaintainResponse> {
        done()
    }
    async fn list_repositories(
        &self,
        _: Request<git::ListRepositoriesRequest>,
    ) -> Answer<git::ListRepositoriesResponse> {
        let project_ids = self.repositories.lock().unwrap().keys().cloned().collect();
        Ok(Response::new(git::ListRepositoriesResponse { project_ids }))
    }
    type ExportRepositoryStream = Answers<git::ExportRepositoryResponse>;
    async fn export_repository(
        &self,
        request: Request<git::ExportRepositoryRequest>,
    ) -> Answer<Self::ExportRepositoryStream> {
        drop(self.git_held.read().await);
        let held = self.repositories.lock().unwrap().get(&request.into_inner().project_id).cloned();
        let chunk = held.ok_or_else(|| Status::not_found("no such repository"))?.into();
        let end = git::ExportRepositoryResponse { chunk: Vec::new().into(), end: true };
        let chunk = git::ExportRepositoryResponse { chunk, end: false };
        let parts =
            if *self.exports_cut.lock().unwrap() { vec![Ok(chunk)] } else { vec![Ok(chunk), Ok(end)] };
        Ok(Response::new(Box::pin(tokio_stream::iter(parts))))
    }
    async fn import_repository(
        &self,
        request: Request<Streaming<git::ImportRepositoryRequest>>,
    ) -> Answer<git::ImportRepositoryResponse> {
        use git::import_repository_request::Part;
        let (mut parts, mut project, mut bundle) = (request.into_inner(), String::new(), Vec::new());
        loop {
            let Some(message) = parts.message().await? else {
                return Err(Status::unavailable("the bundle was cut off"));
            };
            match message.part.unwrap() {
                Part::Header(header) => project = header.scope.unwrap().project_id,
                Part::Chunk(chunk) => bundle.extend(chunk),
                Part::End(_) => break,
            }
        }
        self.repositories.lock().unwrap().insert(project, bundle);
        done()
    }
}

fn container(release: &pomegranate::StartReleaseRequest) -> pomegranate::Container {
    pomegranate::Container {
        name: "pt-1".to_owned(),
        release_id: release.release_id.clone(),
        release_seq: release.release_seq,
        process: "web".to_owned(),
        ordinal: 1,
        state: "running".to_owned(),
        health: "healthy".to_owned(),
        ..Default::default()
    }
}

fn image() -> pomegranate::Image {
    pomegranate::Image {
        id: "sha256:1".to_owned(),
        reference: "pt-1".to_owned(),
        size_bytes: 1,
        processes: vec![pomegranate::Process { name: "web".to_owned(), ..Default::default() }],
        port: 80,
        buildpacks: vec![pomegranate::Buildpack {
            id: "paastech/python".to_owned(),
            version: "0.1.0".to_owned(),
        }],
        builder: "paastech/builder:12".to_owned(),
        health_path: String::new(),
    }
}

#[tonic::async_trait]
impl Pomegranate for Fakes {
    async fn put_source(
        &self,
        request: Request<Streaming<pomegranate::PutSourceRequest>>,
    ) -> Answer<pomegranate::PutSourceResponse> {
        if *self.fence_moved.lock().unwrap() {
            return Err(Status::already_exists("fence 3 is lower than 4"));
        }
        let mut parts = request.into_inner();
        while parts.message().await?.is_some() {}
        done()
    }
    async fn start_build(
        &self,
        request: Request<pomegranate::StartBuildRequest>,
    ) -> Answer<pomegranate::StartBuildResponse> {
        if let Some(source) = request.into_inner().source {
            *self.dockerfile_refusal.lock().unwrap() = source.dockerfile_refusal;
        }
        done()
    }
    type FollowBuildStream = Answers<pomegranate::FollowBuildResponse>;
    async fn follow_build(
        &self,
        _: Request<pomegranate::FollowBuildRequest>,
    ) -> Answer<Self::FollowBuildStream> {
        use pomegranate::{BuildOutcome, follow_build_response::Event};
        let line = pomegranate::LogLine { seq: 1, at_ms: 1, text: "step 1".to_owned() };
        // Every source here has a Dockerfile.
        let refusal = self.dockerfile_refusal.lock().unwrap().clone();
        let outcome = if refusal.is_empty() { BuildOutcome::Succeeded } else { BuildOutcome::Failed };
        let result = pomegranate::BuildResult {
            outcome: outcome.into(),
            image: refusal.is_empty().then(image),
            message: refusal,
        };
        let events = [Event::Line(line), Event::Result(result)];
        let events = events.map(|event| Ok(pomegranate::FollowBuildResponse { event: Some(event) }));
        Ok(Response::new(Box::pin(tokio_stream::iter(events))))
    }
    async fn cancel_build(
        &self,
        _: Request<pomegranate::CancelBuildRequest>,
    ) -> Answer<pomegranate::CancelBuildResponse> {
        done()
    }
    async fn start_release(
        &self,
        request: Request<pomegranate::StartReleaseRequest>,
    ) -> Answer<pomegranate::StartReleaseResponse> {
        self.started.lock().unwrap().push(request.into_inner());
        Ok(Response::new(pomegranate::StartReleaseResponse { containers: Vec::new(), port: 80 }))
    }
    async fn await_release(
        &self,
        _: Request<pomegranate::AwaitReleaseRequest>,
    ) -> Answer<pomegranate::AwaitReleaseResponse> {
        Ok(Response::new(pomegranate::AwaitReleaseResponse { ready: true, ..Default::default() }))
    }
    async fn open_gate(
        &self,
        _: Request<pomegranate::OpenGateRequest>,
    ) -> Answer<pomegranate::OpenGateResponse> {
        done()
    }
    async fn confirm_release(
        &self,
        _: Request<pomegranate::ConfirmReleaseRequest>,
    ) -> Answer<pomegranate::ConfirmReleaseResponse> {
        Ok(Response::new(pomegranate::ConfirmReleaseResponse { status: 200 }))
    }
    async fn stop_release(
        &self,
        _: Request<pomegranate::StopReleaseRequest>,
    ) -> Answer<pomegranate::StopReleaseResponse> {
        done()
    }
    async fn remove_release(
        &self,
        _: Request<pomegranate::RemoveReleaseRequest>,
    ) -> Answer<pomegranate::RemoveReleaseResponse> {
        done()
    }
    async fn remove_project(
        &self,
        _: Request<pomegranate::RemoveProjectRequest>,
    ) -> Answer<pomegranate::RemoveProjectResponse> {
        done()
    }
    async fn clear_cache(
        &self,
        _: Request<pomegranate::ClearCacheRequest>,
    ) -> Answer<pomegranate::ClearCacheResponse> {
        done()
    }
    async fn list_builders(
        &self,
        _: Request<pomegranate::ListBuildersRequest>,
    ) -> Answer<pomegranate::ListBuildersResponse> {
        let pack = pomegranate::Buildpack { id: "test/pack".to_owned(), version: "1.0.0".to_owned() };
        let builder = pomegranate::Builder {
            image: "test/builder:1".to_owned(),
            run_image: "test/run:1".to_owned(),
            platform_api: "0.14".to_owned(),
            buildpacks: vec![pack],
            unusable: String::new(),
        };
        let allowed = vec!["other/builder*".to_owned()];
        Ok(Response::new(pomegranate::ListBuildersResponse { builders: vec![builder], allowed }))
    }
    async fn ensure_image(
        &self,
        _: Request<pomegranate::EnsureImageRequest>,
    ) -> Answer<pomegranate::EnsureImageResponse> {
        if *self.images_lost.lock().unwrap() {
            return Err(Status::not_found("no such image"));
        }
        done()
    }
    async fn prune_images(
        &self,
        _: Request<pomegranate::PruneImagesRequest>,
    ) -> Answer<pomegranate::PruneImagesResponse> {
        done()
    }
    async fn collect_registry(
        &self,
        _: Request<pomegranate::CollectRegistryRequest>,
    ) -> Answer<pomegranate::CollectRegistryResponse> {
        done()
    }
    async fn status(
        &self,
        request: Request<pomegranate::StatusRequest>,
    ) -> Answer<pomegranate::StatusResponse> {
        let project = request.into_inner().project_id;
        let started = self.started.lock().unwrap();
        let last =
            started.iter().rfind(|one| one.scope.as_ref().is_some_and(|scope| scope.project_id == project));
        let container = last.map(container);
        Ok(Response::new(pomegranate::StatusResponse { containers: container.into_iter().collect() }))
    }
    type LogsStream = Answers<pomegranate::LogsResponse>;
    async fn logs(&self, _: Request<pomegranate::LogsRequest>) -> Answer<Self::LogsStream> {
        let line = pomegranate::LogsResponse {
            container: "pt-1".to_owned(),
            stream: "stdout".to_owned(),
            at_ms: 1,
            text: "hello".to_owned(),
        };
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(line)))))
    }
    async fn stats(&self, _: Request<pomegranate::StatsRequest>) -> Answer<pomegranate::StatsResponse> {
        let usage = pomegranate::ContainerStats { container: "pt-1".to_owned(), ..Default::default() };
        Ok(Response::new(pomegranate::StatsResponse { containers: vec![usage] }))
    }
    async fn list(&self, _: Request<pomegranate::ListRequest>) -> Answer<pomegranate::ListResponse> {
        let held = pomegranate::HeldImage { reference: image().reference, ..Default::default() };
        let images = if *self.images_lost.lock().unwrap() { Vec::new() } else { vec![held] };
        let mut of_project = HashMap::new();
        for release in self.started.lock().unwrap().iter() {
            of_project.insert(release.scope.clone().unwrap().project_id, container(release));
        }
        let strangers = self.strangers.lock().unwrap().clone();
        let containers = of_project.into_values().chain(strangers).collect();
        Ok(Response::new(pomegranate::ListResponse {
            containers,
            seeded: true,
            images,
            ..Default::default()
        }))
    }
    async fn seed_fences(
        &self,
        _: Request<pomegranate::SeedFencesRequest>,
    ) -> Answer<pomegranate::SeedFencesResponse> {
        done()
    }
}
