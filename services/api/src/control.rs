//! The internal `control.v1` server: what the SSH server asks. Decode, call, encode.

mod follow;
mod push;

use std::pin::Pin;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use paastech_db::DbError;
use paastech_proto::control::{
    Access, AuthenticateKeyRequest, AuthenticateKeyResponse, AuthorizeRequest, AuthorizeResponse,
    ClosePushRequest, ClosePushResponse, FollowOperationRequest, FollowOperationResponse, FollowPushRequest,
    FollowPushResponse, OpenPushRequest, OpenPushResponse, PutPushSourceRequest, PutPushSourceResponse,
    RefsUpdatedRequest, RefsUpdatedResponse, control_server::Control,
};
use paastech_types::{AccountId, Failure, KeyId, Kind};
use serde::{Deserialize, Serialize};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    auth::{access, permission::Permission},
    config::Quotas,
    engine::{Engine, dockerfile::DockerfilePolicy},
    store::{account, desired, ssh_key},
};

/// Who may build, and how pushes queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BuildsConfig {
    /// Who may build from a Dockerfile.
    pub dockerfile: DockerfilePolicy,
    /// How long a push waits for another's build.
    pub wait_seconds: u32,
}

impl Default for BuildsConfig {
    fn default() -> Self {
        Self { dockerfile: DockerfilePolicy::Trusted, wait_seconds: 10 }
    }
}

/// The server.
#[derive(Clone)]
pub(crate) struct ControlService {
    pub(crate) engine: Engine,
    pub(crate) builds: BuildsConfig,
    pub(crate) quotas: Quotas,
    /// Cancelled when the process begins to stop.
    pub(crate) stopping: CancellationToken,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What a call of the SSH server may find out.
pub(crate) fn refuse(error: &DbError) -> Status {
    tracing::error!(error = %error, source = ?error, "a control call failed");
    Failure::new(error.kind(), "the database did not answer as expected").into()
}

pub(crate) fn parse<T: std::str::FromStr>(text: &str, field: &str) -> Result<T, Status>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| Failure::new(Kind::Invalid, format!("{field}: {error}")).into())
}

impl ControlService {
    /// The key, compared whole, and its account's name.
    async fn find_key(
        &self,
        wanted: &AuthenticateKeyRequest,
    ) -> Result<Option<(ssh_key::Row, String)>, DbError> {
        let mut tx = self.engine.db.read().await?;
        let found = ssh_key::by_fingerprint(&mut tx, &hex::encode(&wanted.fingerprint)).await?;
        let Some(key) = found.filter(|key| key.blob == BASE64_STANDARD.encode(&wanted.blob)) else {
            return Ok(None);
        };
        let account = account::get(&mut tx, key.account_id).await?;
        drop(tx);
        // A database that takes no writes (a full disk, say) must not lock people out.
        if wanted.proven
            && let Err(error) = self.touch(&key).await
        {
            tracing::warn!(%error, "a key's last use cannot be noted");
        }
        Ok(account.map(|account| (key, account.name)))
    }

    async fn touch(&self, key: &ssh_key::Row) -> Result<(), DbError> {
        let mut tx = self.engine.db.begin().await?;
        ssh_key::touch(&mut tx, key.id, self.engine.clock.now_ms()).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Whoever logged in with a key may use the connection only as long as the account has that key.
    async fn require_key(&self, account: AccountId, key: KeyId) -> Result<(), Status> {
        let mut tx = self.engine.db.read().await.map_err(|error| refuse(&error))?;
        let found = ssh_key::get(&mut tx, account, key).await.map_err(|error| refuse(&error))?;
        found.map(drop).ok_or_else(|| Failure::new(Kind::NotFound, "no such key").into())
    }

    /// The project, if the account may do this to it. Not there and not visible look the same.
    pub(crate) async fn authorize(
        &self,
        account: AccountId,
        project: &str,
        needed: Permission,
    ) -> Result<desired::Row, Status> {
        let mut tx = self.engine.db.read().await.map_err(|error| refuse(&error))?;
        let seen = access::authorize(&mut tx, account, project, needed).await?;
        let row = desired::get(&mut tx, seen.id).await.map_err(|error| refuse(&error))?;
        row.ok_or_else(|| Failure::new(Kind::NotFound, "no such project").into())
    }
}

#[tonic::async_trait]
impl Control for ControlService {
    async fn authenticate_key(
        &self,
        request: Request<AuthenticateKeyRequest>,
    ) -> Result<Response<AuthenticateKeyResponse>, Status> {
        let request = request.into_inner();
        let found = self.find_key(&request).await.map_err(|error| refuse(&error))?;
        let (key, account_name) =
            found.ok_or_else(|| Status::from(Failure::new(Kind::NotFound, "unknown key")))?;
        Ok(Response::new(AuthenticateKeyResponse {
            account_id: key.account_id.to_string(),
            account_name,
            key_id: key.id.to_string(),
        }))
    }

    async fn authorize(
        &self,
        request: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeResponse>, Status> {
        let request = request.into_inner();
        let needed = match request.access() {
            Access::Read => Permission::Read,
            Access::Write => Permission::Push,
            Access::Unspecified => return Err(Failure::new(Kind::Invalid, "access: must be set").into()),
        };
        let account = parse(&request.account_id, "account_id")?;
        self.require_key(account, parse(&request.key_id, "key_id")?).await?;
        let project = ControlService::authorize(self, account, &request.project, needed).await?;
        Ok(Response::new(AuthorizeResponse {
            project_id: project.id,
            slug: project.slug,
            deploy_branch: project.deploy_branch,
            max_push_bytes: self.quotas.max_push_bytes,
            max_source_bytes: self.quotas.max_source_bytes,
        }))
    }

    async fn open_push(
        &self,
        request: Request<OpenPushRequest>,
    ) -> Result<Response<OpenPushResponse>, Status> {
        push::open(self, request.into_inner()).await.map(Response::new)
    }

    async fn put_push_source(
        &self,
        request: Request<Streaming<PutPushSourceRequest>>,
    ) -> Result<Response<PutPushSourceResponse>, Status> {
        push::put_source(self, request.into_inner()).await.map(Response::new)
    }

    type FollowPushStream = Answers<FollowPushResponse>;

    async fn follow_push(
        &self,
        request: Request<FollowPushRequest>,
    ) -> Result<Response<Self::FollowPushStream>, Status> {
        follow::push(self, request.into_inner()).await.map(Response::new)
    }

    async fn refs_updated(
        &self,
        request: Request<RefsUpdatedRequest>,
    ) -> Result<Response<RefsUpdatedResponse>, Status> {
        push::refs_updated(self, request.into_inner()).await.map(Response::new)
    }

    async fn close_push(
        &self,
        request: Request<ClosePushRequest>,
    ) -> Result<Response<ClosePushResponse>, Status> {
        push::close(self, request.into_inner()).await.map(Response::new)
    }

    type FollowOperationStream = Answers<FollowOperationResponse>;

    async fn follow_operation(
        &self,
        request: Request<FollowOperationRequest>,
    ) -> Result<Response<Self::FollowOperationStream>, Status> {
        follow::operation(self, request.into_inner()).await.map(Response::new)
    }
}
