//! The api, as the server calls it: one method a call, without the wrapping that gRPC adds.

use paastech_proto::control::{
    AuthenticateKeyRequest, AuthenticateKeyResponse, AuthorizeRequest, AuthorizeResponse, ClosePushRequest,
    FollowOperationRequest, FollowOperationResponse, FollowPushRequest, FollowPushResponse, OpenPushRequest,
    OpenPushResponse, PutPushSourceRequest, PutPushSourceResponse, RefsUpdatedRequest, RefsUpdatedResponse,
    control_client::ControlClient,
};
use paastech_runtime::Transport;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

type Answer<T> = Result<T, Status>;

/// A client of `paastech.control.v1`.
#[derive(Clone)]
pub(crate) struct Control(ControlClient<Transport>);

impl Control {
    pub(crate) fn new(client: ControlClient<Transport>) -> Self {
        Self(client)
    }

    pub(crate) async fn authenticate_key(
        &self,
        request: AuthenticateKeyRequest,
    ) -> Answer<AuthenticateKeyResponse> {
        Ok(self.0.clone().authenticate_key(request).await?.into_inner())
    }

    pub(crate) async fn authorize(&self, request: AuthorizeRequest) -> Answer<AuthorizeResponse> {
        Ok(self.0.clone().authorize(request).await?.into_inner())
    }

    pub(crate) async fn open_push(&self, request: OpenPushRequest) -> Answer<OpenPushResponse> {
        Ok(self.0.clone().open_push(request).await?.into_inner())
    }

    pub(crate) async fn put_push_source(
        &self,
        request: Request<ReceiverStream<PutPushSourceRequest>>,
    ) -> Answer<PutPushSourceResponse> {
        Ok(self.0.clone().put_push_source(request).await?.into_inner())
    }

    pub(crate) async fn follow_push(
        &self,
        request: FollowPushRequest,
    ) -> Answer<Streaming<FollowPushResponse>> {
        Ok(self.0.clone().follow_push(request).await?.into_inner())
    }

    pub(crate) async fn refs_updated(&self, request: RefsUpdatedRequest) -> Answer<RefsUpdatedResponse> {
        Ok(self.0.clone().refs_updated(request).await?.into_inner())
    }

    pub(crate) async fn follow_operation(
        &self,
        request: FollowOperationRequest,
    ) -> Answer<Streaming<FollowOperationResponse>> {
        Ok(self.0.clone().follow_operation(request).await?.into_inner())
    }

    pub(crate) async fn close_push(&self, request: ClosePushRequest) -> Answer<()> {
        self.0.clone().close_push(request).await.map(drop)
    }
}
