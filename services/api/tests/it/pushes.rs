//! A push as the SSH server reports it.

use paastech_proto::control::{
    FollowPushRequest, OpenPushRequest, PushAction, PushSourceEnd, PushSourceHeader, PutPushSourceRequest,
    RefUpdate, SourceWanted, follow_push_response::Event, put_push_source_request::Part,
};
use reqwest::StatusCode;
use tonic::Code;

use crate::{
    fakes::COMMIT,
    harness::{Client, Server, on_each_database},
};

/// Somebody with a project.
async fn owner(server: &Server) -> (Client, String) {
    let ada = server.user("ada").await;
    let project = ada.project("shop").await;
    (ada, project)
}

/// Opens a push of the deploy branch; gives its id.
async fn open(server: &Server, (ada, project): &(Client, String)) -> String {
    let me = ada.get("/v1/account").await.expect(StatusCode::OK).await;
    let update =
        RefUpdate { name: "refs/heads/main".to_owned(), old_oid: "0".repeat(40), new_oid: COMMIT.to_owned() };
    let push = uuid::Uuid::now_v7().to_string();
    let request = OpenPushRequest {
        push_id: push.clone(),
        account_id: me["id"].as_str().unwrap().to_owned(),
        project_id: project.clone(),
        updates: vec![update],
        ..OpenPushRequest::default()
    };
    let opened = server.control.clone().open_push(request).await.unwrap().into_inner();
    assert_eq!(opened.action(), PushAction::Build);
    push
}

/// Sends a source; without `end` as a hook that dies sends it.
async fn send(server: &Server, push: &str, end: Option<Part>) -> Result<String, Code> {
    let header =
        PushSourceHeader { push_id: push.to_owned(), commit: COMMIT.to_owned(), tree: "d".repeat(40) };
    let parts = [Some(Part::Header(header)), Some(Part::Chunk(vec![0; 1024])), end];
    let parts = parts.into_iter().flatten().map(|part| PutPushSourceRequest { part: Some(part) });
    let parts = tokio_stream::iter(parts.collect::<Vec<_>>());
    let answer = server.control.clone().put_push_source(parts).await;
    answer.map(|answer| answer.into_inner().operation_id).map_err(|status| status.code())
}

#[tokio::test]
async fn a_source_that_was_cut_off_or_met_a_new_fence_is_wanted_again() {
    on_each_database(async |server| {
        let ada = owner(server).await;
        let push = open(server, &ada).await;
        let end = || Some(Part::End(PushSourceEnd {}));
        assert_eq!(send(server, &push, None).await, Err(Code::Unavailable));
        server.fakes.move_fence(true);
        assert_eq!(send(server, &push, end()).await, Err(Code::Unavailable));
        server.fakes.move_fence(false);
        let operation = send(server, &push, end()).await.unwrap();
        ada.0.finished(&operation).await;
    })
    .await;
}

#[tokio::test]
async fn the_same_tree_is_built_once_as_long_as_its_image_is_there() {
    on_each_database(async |server| {
        let ada = owner(server).await;
        let mut built = Vec::new();
        for lost in [false, false, true] {
            if lost {
                server.fakes.lose_images();
            }
            let push = open(server, &ada).await;
            let operation = send(server, &push, Some(Part::End(PushSourceEnd {}))).await.unwrap();
            ada.0.finished(&operation).await;
            let log = ada.0.get(&format!("/v1/operations/{operation}/log")).await;
            built.push(log.0.text().await.unwrap().contains("step 1"));
        }
        assert_eq!(built, [true, false, true]);
    })
    .await;
}

#[tokio::test]
async fn a_follower_is_sent_away_when_the_api_stops() {
    on_each_database(async |server| {
        let push = open(server, &owner(server).await).await;
        let follow = FollowPushRequest { push_id: push, from_seq: 1 };
        let mut told = server.control.clone().follow_push(follow).await.unwrap().into_inner();
        let wanted = told.message().await.unwrap().unwrap();
        assert_eq!(wanted.event, Some(Event::SourceWanted(SourceWanted {})));
        server.start_drain();
        assert_eq!(told.message().await.unwrap_err().code(), Code::Unavailable);
    })
    .await;
}
