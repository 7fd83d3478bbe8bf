//! The same calls over both shapes of transport: in this process, and over TCP.

use std::{sync::atomic::Ordering, time::Duration};

use http::Uri;
use paastech_proto::git::{
    ArchiveRequest, InspectRepositoryRequest, git_controller_client::GitControllerClient,
    git_controller_server::GitControllerServer,
};
use paastech_runtime::{Peer, Shutdown, Transport, serve::GrpcServer, transport};
use tonic::{Code, Request};

use crate::odd::Odd;

/// Both shapes over one server.
async fn both(odd: &Odd, shutdown: &Shutdown) -> [(&'static str, GitControllerClient<Transport>); 2] {
    let server = GitControllerServer::new(odd.clone());
    let listener = GrpcServer::bind(([127, 0, 0, 1], 0).into(), None).await.expect("bound");
    let uri: Uri = format!("http://{}", listener.addr().expect("an address")).parse().expect("a URI");
    shutdown.spawn("grpc", listener.run(server.clone(), &[], shutdown.clone()));
    [
        ("in process", GitControllerClient::new(transport::in_process(server))),
        (
            "over TCP",
            GitControllerClient::new(transport::remote(&uri, None, Peer::GitController).expect("made")),
        ),
    ]
}

pub(crate) fn inspect(what: &str) -> Request<InspectRepositoryRequest> {
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
    let refused = GrpcServer::bind(([0, 0, 0, 0], 0).into(), None).await.err().expect("refused");
    assert!(refused.to_string().contains("loopback"), "{refused}");
}
