//! A service that does what it is asked for, or fails as it is asked to.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use paastech_proto::git::{
    ArchiveRequest, ArchiveResponse, CreateRepositoryRequest, CreateRepositoryResponse,
    DeleteRepositoryRequest, DeleteRepositoryResponse, ExportRepositoryRequest, ExportRepositoryResponse,
    ImportRepositoryRequest, ImportRepositoryResponse, InspectRepositoryRequest, InspectRepositoryResponse,
    ListRefsRequest, ListRefsResponse, ListRepositoriesRequest, ListRepositoriesResponse, MaintainRequest,
    MaintainResponse, ResolveRevisionRequest, ResolveRevisionResponse, SetDeployBranchRequest,
    SetDeployBranchResponse, git_controller_server::GitController,
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

type Answer<T> = Result<Response<T>, Status>;

/// Does what the project id asks for.
#[derive(Clone, Default)]
pub(crate) struct Odd {
    /// Whether the slow call came to its end.
    pub(crate) finished: Arc<AtomicBool>,
}

fn not_here<T>() -> Answer<T> {
    Err(Status::unimplemented("not in this test"))
}

#[tonic::async_trait]
impl GitController for Odd {
    async fn inspect_repository(
        &self,
        request: Request<InspectRepositoryRequest>,
    ) -> Answer<InspectRepositoryResponse> {
        match request.into_inner().project_id.as_str() {
            "panic" => panic!("as the test asked"),
            "absent" => Err(Status::not_found("no such repository")),
            "slow" => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                self.finished.store(true, Ordering::SeqCst);
                Ok(Response::new(InspectRepositoryResponse::default()))
            }
            branch => {
                let deploy_branch = branch.to_owned();
                Ok(Response::new(InspectRepositoryResponse { deploy_branch, ..Default::default() }))
            }
        }
    }
    type ArchiveStream = Pin<Box<dyn Stream<Item = Result<ArchiveResponse, Status>> + Send>>;
    async fn archive(&self, _: Request<ArchiveRequest>) -> Answer<Self::ArchiveStream> {
        let chunks = (0..100u8).map(|n| Ok(ArchiveResponse { chunk: vec![n; 64 << 10].into(), end: false }));
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }
    async fn create_repository(
        &self,
        _: Request<CreateRepositoryRequest>,
    ) -> Answer<CreateRepositoryResponse> {
        not_here()
    }
    async fn delete_repository(
        &self,
        _: Request<DeleteRepositoryRequest>,
    ) -> Answer<DeleteRepositoryResponse> {
        not_here()
    }
    async fn set_deploy_branch(&self, _: Request<SetDeployBranchRequest>) -> Answer<SetDeployBranchResponse> {
        not_here()
    }
    async fn list_refs(&self, _: Request<ListRefsRequest>) -> Answer<ListRefsResponse> {
        not_here()
    }
    async fn resolve_revision(&self, _: Request<ResolveRevisionRequest>) -> Answer<ResolveRevisionResponse> {
        not_here()
    }
    async fn maintain(&self, _: Request<MaintainRequest>) -> Answer<MaintainResponse> {
        not_here()
    }
    async fn list_repositories(
        &self,
        _: Request<ListRepositoriesRequest>,
    ) -> Answer<ListRepositoriesResponse> {
        not_here()
    }
    type ExportRepositoryStream =
        Pin<Box<dyn Stream<Item = Result<ExportRepositoryResponse, Status>> + Send>>;
    async fn export_repository(
        &self,
        _: Request<ExportRepositoryRequest>,
    ) -> Answer<Self::ExportRepositoryStream> {
        not_here()
    }
    async fn import_repository(
        &self,
        _: Request<Streaming<ImportRepositoryRequest>>,
    ) -> Answer<ImportRepositoryResponse> {
        not_here()
    }
}
