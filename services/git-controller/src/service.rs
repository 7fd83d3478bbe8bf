//! `paastech.git.v1` over the repositories: decode, call on a blocking thread, encode.

use std::{io, pin::Pin, sync::Arc};

use git2::Oid as GitOid;
use paastech_proto::git::{
    ArchiveLimits, ArchiveRequest, ArchiveResponse, CreateRepositoryRequest, CreateRepositoryResponse,
    DeleteRepositoryRequest, DeleteRepositoryResponse, ExportRepositoryRequest, ExportRepositoryResponse,
    ImportRepositoryRequest, ImportRepositoryResponse, InspectRepositoryRequest, InspectRepositoryResponse,
    ListRefsRequest, ListRefsResponse, ListRepositoriesRequest, ListRepositoriesResponse, MaintainRequest,
    MaintainResponse, ResolveRevisionRequest, ResolveRevisionResponse, Scope, SetDeployBranchRequest,
    SetDeployBranchResponse, git_controller_server::GitController, import_repository_request::Part,
};
use paastech_runtime::Chunks;
use paastech_types::{Branch, Oid, ProjectId};
use tokio::{io::AsyncWriteExt as _, sync::mpsc};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use crate::{Error, Repositories, archive, bundle, fence, maintain::Maintenance, refs, repositories};

/// The generated server's handler.
#[derive(Clone)]
pub struct GitService {
    repositories: Arc<Repositories>,
    limits: archive::Limits,
    maintenance: Arc<Maintenance>,
    bundles: Arc<bundle::Programs>,
}

impl GitService {
    pub(crate) fn new(
        repositories: Arc<Repositories>,
        limits: archive::Limits,
        maintenance: Maintenance,
    ) -> Self {
        let bundles = bundle::Programs { applet: maintenance.applet.clone(), git: maintenance.git.clone() };
        Self { repositories, limits, maintenance: Arc::new(maintenance), bundles: Arc::new(bundles) }
    }

    /// Runs `work`, which blocks on the disk.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Repositories) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Status> {
        let repositories = self.repositories.clone();
        let done = tokio::task::spawn_blocking(move || work(&repositories)).await;
        done.map_err(|panic| {
            tracing::error!(error = %panic, "a repository call panicked");
            Status::internal("internal error")
        })?
        .map_err(Status::from)
    }
}

#[tonic::async_trait]
impl GitController for GitService {
    async fn create_repository(
        &self,
        request: Request<CreateRepositoryRequest>,
    ) -> Result<Response<CreateRepositoryResponse>, Status> {
        let request = request.into_inner();
        let (project, fence) = scope(request.scope)?;
        let branch = branch(&request.deploy_branch)?;
        self.blocking(move |repositories| repositories.create(project, fence, &branch)).await?;
        Ok(Response::new(CreateRepositoryResponse {}))
    }

    async fn delete_repository(
        &self,
        request: Request<DeleteRepositoryRequest>,
    ) -> Result<Response<DeleteRepositoryResponse>, Status> {
        let (project, fence) = scope(request.into_inner().scope)?;
        self.blocking(move |repositories| repositories.delete(project, fence)).await?;
        Ok(Response::new(DeleteRepositoryResponse {}))
    }

    async fn inspect_repository(
        &self,
        request: Request<InspectRepositoryRequest>,
    ) -> Result<Response<InspectRepositoryResponse>, Status> {
        let project = project(&request.into_inner().project_id)?;
        let response = self
            .blocking(move |repositories| {
                let repository = repositories.repository(project)?;
                let (deploy_branch, commit) = refs::head(&repository)?;
                Ok(InspectRepositoryResponse {
                    deploy_branch,
                    head_commit: commit.map(|oid| oid.to_string()).unwrap_or_default(),
                    size_bytes: repositories::size_of(repository.path())?,
                    fence: fence::read(repository.path())?,
                })
            })
            .await?;
        Ok(Response::new(response))
    }

    async fn set_deploy_branch(
        &self,
        request: Request<SetDeployBranchRequest>,
    ) -> Result<Response<SetDeployBranchResponse>, Status> {
        let request = request.into_inner();
        let (project, fence) = scope(request.scope)?;
        let branch = branch(&request.deploy_branch)?;
        self.blocking(move |repositories| {
            repositories.change(project, fence, |path| {
                let repository = git2::Repository::open_bare(path)?;
                Ok(repository.set_head(&format!("refs/heads/{branch}"))?)
            })
        })
        .await?;
        Ok(Response::new(SetDeployBranchResponse {}))
    }

    async fn list_refs(
        &self,
        request: Request<ListRefsRequest>,
    ) -> Result<Response<ListRefsResponse>, Status> {
        let request = request.into_inner();
        let project = project(&request.project_id)?;
        let refs = self
            .blocking(move |repositories| refs::list(&repositories.repository(project)?, &request.prefix))
            .await?;
        Ok(Response::new(ListRefsResponse { refs }))
    }

    async fn resolve_revision(
        &self,
        request: Request<ResolveRevisionRequest>,
    ) -> Result<Response<ResolveRevisionResponse>, Status> {
        let request = request.into_inner();
        let project = project(&request.project_id)?;
        let resolved = self
            .blocking(move |repositories| {
                refs::resolve(&repositories.repository(project)?, &request.revision)
            })
            .await?;
        Ok(Response::new(resolved))
    }

    type ArchiveStream = Pin<Box<dyn Stream<Item = Result<ArchiveResponse, Status>> + Send>>;

    async fn archive(
        &self,
        request: Request<ArchiveRequest>,
    ) -> Result<Response<Self::ArchiveStream>, Status> {
        let request = request.into_inner();
        let project = project(&request.project_id)?;
        let commit: Oid = request
            .commit
            .parse()
            .map_err(|error| Error::Invalid { field: "commit", why: format!("{error}") })?;
        let commit = GitOid::from_str(commit.as_str()).map_err(Error::from)?;
        let limits = lower(self.limits, request.limits);
        let repository = self.blocking(move |repositories| repositories.repository(project)).await?;
        let (sender, receiver) = mpsc::channel(4);
        tokio::task::spawn_blocking(move || {
            let mut chunks = Chunks::new(|chunk| {
                let sent = sender.blocking_send(Ok(ArchiveResponse { chunk, end: false }));
                sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
            });
            let written = archive::write_tree(&repository, commit, &limits, &mut chunks);
            match written {
                Ok(_) => {
                    drop(sender.blocking_send(Ok(ArchiveResponse { chunk: Default::default(), end: true })))
                }
                // The caller has gone: nobody is there to be told.
                Err(archive::Error::Write(_)) if sender.is_closed() => {}
                Err(error) => drop(sender.blocking_send(Err(Error::from(error).into()))),
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn maintain(
        &self,
        request: Request<MaintainRequest>,
    ) -> Result<Response<MaintainResponse>, Status> {
        let (project, fence) = scope(request.into_inner().scope)?;
        let path = self
            .blocking(move |repositories| repositories.change(project, fence, |path| Ok(path.to_owned())))
            .await?;
        self.maintenance.collect(&path).await?;
        let size_bytes = self.blocking(move |_| Ok(repositories::size_of(&path)?)).await?;
        Ok(Response::new(MaintainResponse { size_bytes }))
    }

    async fn list_repositories(
        &self,
        _: Request<ListRepositoriesRequest>,
    ) -> Result<Response<ListRepositoriesResponse>, Status> {
        let projects = self.blocking(Repositories::list).await?;
        let project_ids = projects.iter().map(ProjectId::to_string).collect();
        Ok(Response::new(ListRepositoriesResponse { project_ids }))
    }

    type ExportRepositoryStream =
        Pin<Box<dyn Stream<Item = Result<ExportRepositoryResponse, Status>> + Send>>;

    async fn export_repository(
        &self,
        request: Request<ExportRepositoryRequest>,
    ) -> Result<Response<Self::ExportRepositoryStream>, Status> {
        let project = project(&request.into_inner().project_id)?;
        let (path, has_refs) = self
            .blocking(move |repositories| {
                let repository = repositories.repository(project)?;
                let has_refs = repository.references()?.next().is_some();
                Ok((repository.path().to_owned(), has_refs))
            })
            .await?;
        let (bundles, (sender, receiver)) = (self.bundles.clone(), mpsc::channel(4));
        tokio::spawn(async move {
            let sent = if has_refs { bundles.send(&path, &sender).await } else { Ok(()) };
            let end = ExportRepositoryResponse { chunk: Default::default(), end: true };
            drop(sender.send(sent.map(|()| end).map_err(Status::from)).await);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn import_repository(
        &self,
        request: Request<Streaming<ImportRepositoryRequest>>,
    ) -> Result<Response<ImportRepositoryResponse>, Status> {
        let mut parts = request.into_inner();
        let first = parts.next().await.transpose()?.and_then(|message| message.part);
        let Some(Part::Header(header)) = first else {
            return Err(Status::invalid_argument("the first message must be the header"));
        };
        let (project, fence) = scope(header.scope)?;
        let branch = branch(&header.deploy_branch)?;
        let mut bundle =
            tokio::fs::File::from_std(self.blocking(|repositories| Ok(repositories.spool()?)).await?);
        loop {
            match parts.next().await.transpose()?.and_then(|message| message.part) {
                Some(Part::Chunk(chunk)) => bundle.write_all(&chunk).await.map_err(Error::from)?,
                Some(Part::End(_)) => break,
                Some(Part::Header(_)) => {
                    return Err(Status::invalid_argument("only chunks may follow the header"));
                }
                None => return Err(Status::unavailable("the bundle was cut off")),
            }
        }
        bundle.flush().await.map_err(Error::from)?;
        let bundle = bundle.into_std().await;
        self.blocking(move |repositories| {
            repositories.replace(project, fence, &branch, |repository| bundle::unpack(bundle, repository))
        })
        .await?;
        Ok(Response::new(ImportRepositoryResponse {}))
    }
}

fn project(text: &str) -> Result<ProjectId, Error> {
    text.parse().map_err(|error| Error::Invalid { field: "project_id", why: format!("is {error}") })
}

fn scope(scope: Option<Scope>) -> Result<(ProjectId, i64), Error> {
    let scope = scope.ok_or(Error::Invalid { field: "scope", why: "is missing".to_owned() })?;
    Ok((project(&scope.project_id)?, scope.fence))
}

fn branch(text: &str) -> Result<Branch, Error> {
    text.parse().map_err(|error| Error::Invalid { field: "deploy_branch", why: format!("{error}") })
}

/// What was asked for, where it is less than what we allow; 0 asks for nothing.
fn lower(ours: archive::Limits, asked: Option<ArchiveLimits>) -> archive::Limits {
    let asked = asked.unwrap_or_default();
    let least = |ours: u64, asked: u64| if asked == 0 { ours } else { ours.min(asked) };
    archive::Limits {
        max_bytes: least(ours.max_bytes, asked.max_bytes),
        max_entries: least(ours.max_entries, asked.max_entries),
        max_depth: if asked.max_depth == 0 { ours.max_depth } else { ours.max_depth.min(asked.max_depth) },
        max_file_bytes: ours.max_file_bytes,
    }
}
