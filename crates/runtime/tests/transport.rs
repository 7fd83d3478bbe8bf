//! The same calls over both shapes of transport: in this process, and over TCP.

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
    DeleteRepositoryRequest, DeleteRepositoryResponse, InspectRepositoryRequest, InspectRepositoryResponse,
    ListRefsRequest, ListRefsResponse, ListRepositoriesRequest, ListRepositoriesResponse, MaintainRequest,
    MaintainResponse, ResolveRevisionRequest, ResolveRevisionResponse, SetDeployBranchRequest,
    SetDeployBranchResponse,
    git_controller_client::GitControllerClient,
    git_controller_server::{GitController, GitControllerServer},
};
use paastech_runtime::{Shutdown, Transport, serve::GrpcServer, transport};
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;

/// Does what the project id asks for.
#[derive(Clone, Default)]
struct Odd {
    finished: Arc<AtomicBool>,
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
}

/// Both shapes over one server.
async fn both(odd: &Odd, shutdown: &Shutdown) -> [(&'static str, GitControllerClient<Transport>); 2] {
    let server = GitControllerServer::new(odd.clone());
    let listener = GrpcServer::bind(([127, 0, 0, 1], 0).into()).await.expect("bound");
    let uri = format!("http://{}", listener.addr().expect("an address")).parse().expect("a URI");
    shutdown.spawn("grpc", listener.run(server.clone(), shutdown.clone()));
    [
        ("in process", GitControllerClient::new(transport::in_process(server))),
        ("over TCP", GitControllerClient::new(transport::remote(uri))),
    ]
}

fn inspect(what: &str) -> Request<InspectRepositoryRequest> {
    Request::new(InspectRepositoryRequest { project_id: what.to_owned() })
}

#[tokio::test]
async fn answers_errors_and_panics_are_alike_in_both_shapes() {
    let shutdown = Shutdown::new();
    for (shape, mut client) in both(&Odd::default(), &shutdown).await {
        let answer = client.inspect_repository(inspect("main")).await.expect(shape).into_inner();
        assert_eq!(answer.deploy_branch, "main", "{shape}");
        let absent = client.inspect_repository(inspect("absent")).await.expect_err(shape);
        assert_eq!((absent.code(), absent.message()), (Code::NotFound, "no such repository"), "{shape}");
        let panicked = client.inspect_repository(inspect("panic")).await.expect_err(shape);
        assert_eq!(panicked.code(), Code::Internal, "{shape}");
        assert!(!panicked.message().contains("as the test asked"), "{shape}: internal text stays inside");
    }
    shutdown.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_deadline_ends_the_wait_and_not_the_work() {
    let shutdown = Shutdown::new();
    for shape in 0..2 {
        let odd = Odd::default();
        let (name, mut client) = both(&odd, &shutdown).await.into_iter().nth(shape).expect("two shapes");
        let mut request = inspect("slow");
        request.set_timeout(Duration::from_millis(50));
        let late = client.inspect_repository(request).await.expect_err(name);
        assert!(matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled), "{name}: {late:?}");
        for _ in 0..250 {
            if odd.finished.load(Ordering::SeqCst) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(odd.finished.load(Ordering::SeqCst), "{name}: a caller that goes away cuts nothing in half");
    }
    shutdown.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_stream_arrives_whole_in_both_shapes() {
    let shutdown = Shutdown::new();
    for (shape, mut client) in both(&Odd::default(), &shutdown).await {
        let mut chunks = client.archive(ArchiveRequest::default()).await.expect(shape).into_inner();
        let (mut count, mut bytes) = (0u8, 0);
        while let Some(chunk) = chunks.message().await.expect(shape) {
            assert!(chunk.chunk.iter().all(|byte| *byte == count), "{shape}: in order");
            count += 1;
            bytes += chunk.chunk.len();
        }
        assert_eq!((count, bytes), (100, 100 << 16), "{shape}");
    }
    shutdown.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn no_service_listens_beyond_loopback() {
    let refused = GrpcServer::bind(([0, 0, 0, 0], 0).into()).await.err().expect("refused");
    assert!(refused.to_string().contains("loopback"), "{refused}");
}
