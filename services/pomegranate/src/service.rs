//! The gRPC service: decode, call, encode.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::{
    Stream, StreamExt as _, TryStreamExt as _, future,
    stream::{self, BoxStream},
};
use paastech_proto::pomegranate::{self as proto, pomegranate_server::Pomegranate, put_source_request::Part};
use paastech_types::{BuildId, Kind, ProjectId, ReleaseId};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use crate::{
    build::{
        Builds, Job, Order, build_variables,
        buildpack::{builder, workspace},
    },
    config::Config,
    confirm,
    engine::{Engine, Owned},
    error::Error,
    fence::{Fences, Scope},
    logs,
    registry::Registry,
    release::{
        await_ready::{self, Readiness},
        drain, gate, remove,
        spec::ReleaseSpec,
        start, stop,
    },
    request,
    source::Sources,
    stats, status,
};

/// The longest `AwaitRelease`, `ConfirmRelease` or build may take, in seconds.
const MAX_WAIT: u32 = 3600;
const MAX_BUILD: u32 = 4 * 3600;

/// Answers the calls.
#[derive(Clone)]
pub struct Handler(Arc<State>);

struct State {
    config: Config,
    engine: Arc<Engine>,
    fences: Fences,
    sources: Arc<Sources>,
    builds: Builds,
}

type Answer<T> = Result<Response<T>, Status>;

impl Handler {
    pub(crate) fn new(
        config: Config,
        engine: Arc<Engine>,
        fences: Fences,
        sources: Arc<Sources>,
        builds: Builds,
    ) -> Self {
        Self(Arc::new(State { config, engine, fences, sources, builds }))
    }
}

impl State {
    /// The containers of a release that must be there.
    async fn release(&self, project: ProjectId, release: ReleaseId) -> Result<Vec<Owned>, Error> {
        let containers = self.engine.release(project, release).await?;
        if containers.is_empty() { Err(Error::NotFound("release")) } else { Ok(containers) }
    }

    fn grace(&self, seconds: u32) -> u32 {
        if seconds == 0 { self.config.grace_seconds } else { seconds }
    }

    fn wait(&self, seconds: u32) -> Duration {
        let seconds = if seconds == 0 { self.config.await_seconds } else { seconds };
        Duration::from_secs(seconds.min(MAX_WAIT).into())
    }

    async fn put_source(
        &self,
        mut stream: impl Stream<Item = Result<proto::PutSourceRequest, Status>> + Unpin,
    ) -> Result<u64, Error> {
        let first = stream.next().await.transpose().map_err(|_| cut_off())?.and_then(|message| message.part);
        let Some(Part::Header(header)) = first else {
            return Err(Error::Invalid("the first message must be the header".to_owned()));
        };
        let scope = request::scope(header.scope)?;
        let source: Uuid = request::id(&header.source_id, "source_id")?;
        self.fences.check(scope)?;
        // A caller that dies looks like one that has said all, but for the end that it did not send.
        let parts = stream.map(Some).chain(stream::once(async { None }));
        let chunks = parts.map(|message| match message.ok_or_else(cut_off)?.map_err(|_| cut_off())?.part {
            Some(Part::Chunk(chunk)) => Ok(Some(chunk)),
            Some(Part::End(_)) => Ok(None),
            _ => Err(Error::Invalid("only chunks may follow the header".to_owned())),
        });
        let chunks = chunks.try_take_while(|chunk| future::ready(Ok(chunk.is_some())));
        let chunks = pin!(chunks.map_ok(Option::unwrap_or_default));
        self.sources.put(scope.project, source, chunks).await
    }

    fn start_build(&self, request: proto::StartBuildRequest) -> Result<(), Error> {
        let scope = request::scope(request.scope)?;
        let id: BuildId = request::id(&request.build_id, "build_id")?;
        let source: Uuid = request::id(&request.source_id, "source_id")?;
        let how = request.source.unwrap_or_default();
        let variables = how.variables.into_iter().map(|variable| (variable.name, variable.value));
        let env = build_variables(variables)?;
        self.fences.check(scope)?;
        if self.builds.get(scope.project, id).is_some() {
            return Ok(());
        }
        let path = self.sources.get(scope.project, source).ok_or(Error::NotFound("source"))?;
        let seconds = match request.timeout_seconds {
            0 => self.config.build.timeout_seconds,
            given => given.min(MAX_BUILD),
        };
        self.builds.start(Order {
            id,
            project: scope.project,
            source: (source, path),
            dockerfile_refusal: how.dockerfile_refusal,
            env,
            timeout: Duration::from_secs(seconds.into()),
            no_cache: request.no_cache,
            registry_token: request.registry_token,
        });
        Ok(())
    }

    fn build(&self, project: &str, build: &str) -> Result<Option<Arc<Job>>, Error> {
        Ok(self.builds.get(request::project(project)?, request::id(build, "build_id")?))
    }

    async fn cancel_build(&self, request: proto::CancelBuildRequest) -> Result<(), Error> {
        let scope = request::scope(request.scope)?;
        let id: BuildId = request::id(&request.build_id, "build_id")?;
        self.fences.check(scope)?;
        if let Some(job) = self.builds.get(scope.project, id) {
            job.cancel.cancel();
            job.over().await;
        }
        // It may have ended well before, here or in a process before this one.
        match remove::remove_image(&self.engine, &self.engine.build_reference(scope.project, id)).await {
            // The build is over all the same.
            Err(error) if error.kind() == Kind::Unavailable => {
                tracing::warn!(%error, "the image of a cancelled build may be left");
                Ok(())
            }
            outcome => outcome,
        }
    }

    async fn start_release(
        &self,
        request: proto::StartReleaseRequest,
    ) -> Result<proto::StartReleaseResponse, Error> {
        let scope = request::scope(request.scope.clone())?;
        let spec = ReleaseSpec::parse(request, &self.config.limits)?;
        let _turn = self.fences.enter(scope).await?;
        let port = start::start(&self.engine, &spec, self.config.require_non_root).await?;
        let owned = self.engine.release(spec.project, spec.release).await?;
        let containers = status::describe(&self.engine, owned).await?;
        Ok(proto::StartReleaseResponse { containers, port: port.into() })
    }

    async fn await_release(
        &self,
        request: proto::AwaitReleaseRequest,
    ) -> Result<proto::AwaitReleaseResponse, Error> {
        let (project, release) = release_of(&request.project_id, &request.release_id)?;
        let containers = self.release(project, release).await?;
        let timeout = self.wait(request.timeout_seconds);
        Ok(match await_ready::await_ready(&self.engine, &containers, timeout).await? {
            Readiness::Ready => proto::AwaitReleaseResponse { ready: true, ..Default::default() },
            Readiness::NotReady { reason, last_lines } => {
                proto::AwaitReleaseResponse { ready: false, reason, last_lines }
            }
        })
    }

    async fn open_gate(&self, request: proto::OpenGateRequest) -> Result<proto::OpenGateResponse, Error> {
        let scope = request::scope(request.scope)?;
        let release: ReleaseId = request::id(&request.release_id, "release_id")?;
        let _turn = self.fences.enter(scope).await?;
        let containers = self.release(scope.project, release).await?;
        Ok(match gate::open(&self.engine, (scope.project, release), &containers).await? {
            Readiness::Ready => proto::OpenGateResponse::default(),
            Readiness::NotReady { reason, last_lines } => proto::OpenGateResponse { reason, last_lines },
        })
    }

    async fn confirm_release(&self, request: proto::ConfirmReleaseRequest) -> Result<u32, Error> {
        let (project, release) = release_of(&request.project_id, &request.release_id)?;
        let containers = self.release(project, release).await?;
        let timeout = self.wait(request.timeout_seconds);
        Ok(confirm::confirm(&self.engine, &self.config.proxy, &containers, timeout).await?.into())
    }

    async fn stop_release(&self, request: proto::StopReleaseRequest) -> Result<(), Error> {
        let scope = request::scope(request.scope)?;
        let release: ReleaseId = request::id(&request.release_id, "release_id")?;
        let _turn = self.fences.enter(scope).await?;
        let containers = self.release(scope.project, release).await?;
        let grace = self.grace(request.grace_seconds);
        stop::stop(&self.engine, (scope.project, release), &containers, grace).await
    }

    async fn remove_release(&self, request: proto::RemoveReleaseRequest) -> Result<(), Error> {
        let scope = request::scope(request.scope)?;
        let release: ReleaseId = request::id(&request.release_id, "release_id")?;
        self.fences.check(scope)?;
        let containers = self.engine.release(scope.project, release).await?;
        // Nothing is changed yet, so nobody else's turn has to wait for it.
        let limit = Duration::from_secs(request.drain_seconds.min(MAX_WAIT).into());
        drain::drain(&self.config.proxy, &containers, limit).await?;
        let _turn = self.fences.enter(scope).await?;
        let containers = self.engine.release(scope.project, release).await?;
        let grace = self.grace(request.grace_seconds);
        remove::release(&self.engine, (scope.project, release), &containers, grace).await
    }

    async fn remove_project(&self, request: proto::RemoveProjectRequest) -> Result<(), Error> {
        let scope = request::scope(request.scope)?;
        let _turn = self.fences.enter(scope).await?;
        for job in self.builds.list(Some(scope.project)) {
            job.cancel.cancel();
            job.over().await;
        }
        remove::project(&self.engine, scope.project, self.config.grace_seconds).await?;
        self.sources.remove_project(scope.project)?;
        if let Some(registry) = &self.engine.registry {
            let _shared = registry.share().await;
            registry.prune(scope.project, &[], &request.registry_token).await?;
        }
        Ok(())
    }

    async fn clear_cache(&self, request: proto::ClearCacheRequest) -> Result<(), Error> {
        let scope = request::scope(request.scope)?;
        let _turn = self.fences.enter(scope).await?;
        workspace::clear_caches(&self.engine, scope.project).await
    }

    async fn list_builders(&self) -> Result<proto::ListBuildersResponse, Error> {
        let config = &self.config.build.buildpacks;
        let builders = builder::list(&self.engine, config).await?;
        Ok(proto::ListBuildersResponse { builders, allowed: config.builders.clone() })
    }

    async fn ensure_image(&self, request: proto::EnsureImageRequest) -> Result<(), Error> {
        let project = request::project(&request.project_id)?;
        let token = &request.registry_token;
        let found = self.engine.ensure_image(project, &request.image_reference, token).await?;
        found.map(drop).ok_or(Error::NotFound("image"))
    }

    async fn prune_images(&self, request: proto::PruneImagesRequest) -> Result<(), Error> {
        let scope = request::scope(request.scope)?;
        let _turn = self.fences.enter(scope).await?;
        let registry = self.engine.registry.as_ref();
        let _held = future::OptionFuture::from(registry.map(Registry::hold)).await;
        let images = remove::images(&self.engine, Some(scope.project)).await?;
        // Whoever has built one of these since the caller looked has a higher fence.
        self.fences.check(scope)?;
        remove::prune_images(&self.engine, &images, &request.keep).await?;
        match registry {
            Some(registry) => registry.prune(scope.project, &request.keep, &request.registry_token).await,
            None => Ok(()),
        }
    }

    async fn collect_registry(&self) -> Result<(), Error> {
        match &self.engine.registry {
            Some(registry) => registry.collect(&self.engine).await,
            None => Ok(()),
        }
    }

    async fn logs(
        &self,
        request: proto::LogsRequest,
    ) -> Result<BoxStream<'static, Result<proto::LogsResponse, Status>>, Error> {
        let project = request::project(&request.project_id)?;
        let mut containers = self.engine.containers(Some(project)).await?;
        if !request.release_id.is_empty() {
            let release: ReleaseId = request::id(&request.release_id, "release_id")?;
            containers.retain(|container| container.labels.release == release);
        }
        let wanted = logs::Wanted { tail: request.tail, since_ms: request.since_ms, follow: request.follow };
        let mut streams = Vec::new();
        for container in &containers {
            streams.push(Box::pin(logs::lines(&self.engine, container, wanted, logs::LIMIT).await?));
        }
        Ok(stream::select_all(streams).map(Ok).boxed())
    }

    async fn list(&self) -> Result<proto::ListResponse, Error> {
        let containers = status::describe(&self.engine, self.engine.containers(None).await?).await?;
        let images = remove::images(&self.engine, None).await?;
        let running = self.builds.list(None).into_iter().filter(|job| !job.is_over());
        Ok(proto::ListResponse {
            containers,
            build_ids: running.map(|job| job.id.to_string()).collect(),
            images: images
                .into_iter()
                .map(|image| proto::HeldImage {
                    project_id: image.project.to_string(),
                    reference: image.reference,
                    id: image.id,
                })
                .collect(),
            seeded: self.fences.seeded(),
        })
    }
}

fn cut_off() -> Error {
    Error::NotYet("the stream was cut off".to_owned())
}

fn release_of(project: &str, release: &str) -> Result<(ProjectId, ReleaseId), Error> {
    Ok((request::project(project)?, request::id(release, "release_id")?))
}

#[tonic::async_trait]
impl Pomegranate for Handler {
    async fn put_source(
        &self,
        request: Request<Streaming<proto::PutSourceRequest>>,
    ) -> Answer<proto::PutSourceResponse> {
        let bytes = self.0.put_source(request.into_inner()).await?;
        Ok(Response::new(proto::PutSourceResponse { bytes }))
    }

    async fn start_build(
        &self,
        request: Request<proto::StartBuildRequest>,
    ) -> Answer<proto::StartBuildResponse> {
        self.0.start_build(request.into_inner())?;
        Ok(Response::new(proto::StartBuildResponse {}))
    }

    type FollowBuildStream = ReceiverStream<Result<proto::FollowBuildResponse, Status>>;

    async fn follow_build(
        &self,
        request: Request<proto::FollowBuildRequest>,
    ) -> Answer<Self::FollowBuildStream> {
        let request = request.into_inner();
        let job = self.0.build(&request.project_id, &request.build_id)?;
        let job = job.ok_or(Error::NotFound("build"))?;
        Ok(Response::new(job.follow(request.from_seq)))
    }

    async fn cancel_build(
        &self,
        request: Request<proto::CancelBuildRequest>,
    ) -> Answer<proto::CancelBuildResponse> {
        self.0.cancel_build(request.into_inner()).await?;
        Ok(Response::new(proto::CancelBuildResponse {}))
    }

    async fn start_release(
        &self,
        request: Request<proto::StartReleaseRequest>,
    ) -> Answer<proto::StartReleaseResponse> {
        Ok(Response::new(self.0.start_release(request.into_inner()).await?))
    }

    async fn await_release(
        &self,
        request: Request<proto::AwaitReleaseRequest>,
    ) -> Answer<proto::AwaitReleaseResponse> {
        Ok(Response::new(self.0.await_release(request.into_inner()).await?))
    }

    async fn open_gate(&self, request: Request<proto::OpenGateRequest>) -> Answer<proto::OpenGateResponse> {
        Ok(Response::new(self.0.open_gate(request.into_inner()).await?))
    }

    async fn confirm_release(
        &self,
        request: Request<proto::ConfirmReleaseRequest>,
    ) -> Answer<proto::ConfirmReleaseResponse> {
        let status = self.0.confirm_release(request.into_inner()).await?;
        Ok(Response::new(proto::ConfirmReleaseResponse { status }))
    }

    async fn stop_release(
        &self,
        request: Request<proto::StopReleaseRequest>,
    ) -> Answer<proto::StopReleaseResponse> {
        self.0.stop_release(request.into_inner()).await?;
        Ok(Response::new(proto::StopReleaseResponse {}))
    }

    async fn remove_release(
        &self,
        request: Request<proto::RemoveReleaseRequest>,
    ) -> Answer<proto::RemoveReleaseResponse> {
        self.0.remove_release(request.into_inner()).await?;
        Ok(Response::new(proto::RemoveReleaseResponse {}))
    }

    async fn remove_project(
        &self,
        request: Request<proto::RemoveProjectRequest>,
    ) -> Answer<proto::RemoveProjectResponse> {
        self.0.remove_project(request.into_inner()).await?;
        Ok(Response::new(proto::RemoveProjectResponse {}))
    }

    async fn clear_cache(
        &self,
        request: Request<proto::ClearCacheRequest>,
    ) -> Answer<proto::ClearCacheResponse> {
        self.0.clear_cache(request.into_inner()).await?;
        Ok(Response::new(proto::ClearCacheResponse {}))
    }

    async fn list_builders(
        &self,
        _: Request<proto::ListBuildersRequest>,
    ) -> Answer<proto::ListBuildersResponse> {
        Ok(Response::new(self.0.list_builders().await?))
    }

    async fn ensure_image(
        &self,
        request: Request<proto::EnsureImageRequest>,
    ) -> Answer<proto::EnsureImageResponse> {
        self.0.ensure_image(request.into_inner()).await?;
        Ok(Response::new(proto::EnsureImageResponse {}))
    }

    async fn prune_images(
        &self,
        request: Request<proto::PruneImagesRequest>,
    ) -> Answer<proto::PruneImagesResponse> {
        self.0.prune_images(request.into_inner()).await?;
        Ok(Response::new(proto::PruneImagesResponse {}))
    }

    async fn collect_registry(
        &self,
        _: Request<proto::CollectRegistryRequest>,
    ) -> Answer<proto::CollectRegistryResponse> {
        self.0.collect_registry().await?;
        Ok(Response::new(proto::CollectRegistryResponse {}))
    }

    async fn status(&self, request: Request<proto::StatusRequest>) -> Answer<proto::StatusResponse> {
        let project = request::project(&request.into_inner().project_id)?;
        let owned = self.0.engine.containers(Some(project)).await?;
        let containers = status::describe(&self.0.engine, owned).await?;
        Ok(Response::new(proto::StatusResponse { containers }))
    }

    type LogsStream = BoxStream<'static, Result<proto::LogsResponse, Status>>;

    async fn logs(&self, request: Request<proto::LogsRequest>) -> Answer<Self::LogsStream> {
        Ok(Response::new(self.0.logs(request.into_inner()).await?))
    }

    async fn stats(&self, request: Request<proto::StatsRequest>) -> Answer<proto::StatsResponse> {
        let project = request::project(&request.into_inner().project_id)?;
        let owned = self.0.engine.containers(Some(project)).await?;
        let containers = stats::measure(&self.0.engine, &owned).await?;
        Ok(Response::new(proto::StatsResponse { containers }))
    }

    async fn list(&self, _: Request<proto::ListRequest>) -> Answer<proto::ListResponse> {
        Ok(Response::new(self.0.list().await?))
    }

    async fn seed_fences(
        &self,
        request: Request<proto::SeedFencesRequest>,
    ) -> Answer<proto::SeedFencesResponse> {
        let highest = request.into_inner().highest.into_iter();
        let highest: Vec<Scope> =
            highest.map(|scope| request::scope(Some(scope))).collect::<Result<_, Error>>()?;
        self.0.fences.seed(&highest)?;
        Ok(Response::new(proto::SeedFencesResponse {}))
    }
}
