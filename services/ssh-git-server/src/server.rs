//! What all connections share, and the loop that takes them in.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use paastech_git_controller::Repositories;
use paastech_proto::control::{Access, AuthenticateKeyRequest, AuthorizeRequest, AuthorizeResponse};
use paastech_runtime::{Shutdown, metrics::Held};
use paastech_types::{AccountId, KeyId, Kind};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Code, Status};

use crate::{
    config::Config,
    connection::Connection,
    control::Control,
    limits::Permits,
    metrics::METRICS,
    push::{Project, Pushes},
    ssh::{self, ClientKey, Protocol},
    state::Paths,
};

/// How long a connection waits for its turn to log in.
const LOGIN_QUEUE: Duration = Duration::from_secs(10);
/// How long the loop rests when the system has no more sockets.
const REST: Duration = Duration::from_millis(100);

/// Who has logged in.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) id: AccountId,
    pub(crate) name: String,
    pub(crate) key: KeyId,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) control: Control,
    pub(crate) repositories: Repositories,
    pub(crate) permits: Permits,
    pub(crate) pushes: Pushes,
    pub(crate) paths: Paths,
    pub(crate) shutdown: Shutdown,
    /// Cancelled when no connection is left after a drain. A hook that calls later finds nobody; the scan of refs does
    /// what it would have asked for.
    over: CancellationToken,
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        control: Control,
        repositories: Repositories,
        paths: Paths,
        shutdown: Shutdown,
    ) -> Arc<Self> {
        let permits = Permits::new(&config.limits);
        let (pushes, over) = (Pushes::default(), CancellationToken::new());
        Arc::new(Self { config, control, repositories, permits, pushes, paths, shutdown, over })
    }

    /// Resolves when the last connection has ended after a drain.
    pub(crate) async fn over(&self) {
        self.over.cancelled().await;
    }

    /// The account of a key; `None` for an unknown one.
    pub(crate) async fn authenticate(&self, key: ClientKey) -> Result<Option<Account>, Status> {
        let ClientKey { blob, fingerprint, proven } = key;
        let request = AuthenticateKeyRequest { fingerprint, blob, proven };
        let found = match self.control.authenticate_key(request).await {
            Ok(found) => found,
            Err(status) if status.code() == Code::NotFound => return Ok(None),
            Err(status) => {
                tracing::warn!(code = ?status.code(), error = status.message(), "a key cannot be looked up");
                return Err(status);
            }
        };
        let malformed = |_| Status::internal("the api answered with a malformed id");
        Ok(Some(Account {
            id: found.account_id.parse().map_err(malformed)?,
            name: found.account_name,
            key: found.key_id.parse().map_err(malformed)?,
        }))
    }

    /// The project of that name, if the account may do this to it; else a text for its owner's eyes.
    pub(crate) async fn authorize(
        &self,
        account: &Account,
        project: &str,
        access: Access,
    ) -> Result<Project, String> {
        let request = AuthorizeRequest {
            account_id: account.id.to_string(),
            project: project.to_owned(),
            access: access.into(),
            key_id: account.key.to_string(),
        };
        match self.control.authorize(request).await {
            Ok(response) => project_of(response)
                .ok_or_else(|| "the platform cannot answer now; try again in a moment".to_owned()),
            Err(status) => Err(match Kind::from_code(status.code()) {
                Kind::NotFound | Kind::Invalid => NO_PROJECT.to_owned(),
                Kind::Forbidden => "you may not push to this project, only read it".to_owned(),
                _ => self.explain(&status),
            }),
        }
    }

    /// What a pusher is told of a failed call.
    pub(crate) fn explain(&self, status: &Status) -> String {
        match Kind::from_code(status.code()) {
            Kind::Unavailable | Kind::Timeout | Kind::Internal => {
                tracing::warn!(code = ?status.code(), error = status.message(), "a call to the api failed");
                "the platform cannot answer now; try again in a moment".to_owned()
            }
            _ => status.message().to_owned(),
        }
    }
}

/// The same for a project that is not there and for one that is somebody else's.
pub(crate) const NO_PROJECT: &str = "no such project, or it is not yours";

fn project_of(response: AuthorizeResponse) -> Option<Project> {
    Some(Project {
        id: response.project_id.parse().ok()?,
        slug: response.slug,
        deploy_branch: response.deploy_branch,
        max_push_bytes: response.max_push_bytes,
        max_source_bytes: response.max_source_bytes,
    })
}

/// Takes connections in until the drain, then waits for those it has. No error of one ends the others.
pub(crate) async fn run(
    shared: Arc<Shared>,
    listener: TcpListener,
    protocol: Protocol,
) -> anyhow::Result<()> {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.shutdown.draining() => break,
        };
        match accepted {
            Ok((stream, from)) => {
                connections.spawn(serve(shared.clone(), protocol.clone(), stream, from));
            }
            Err(error) => {
                tracing::warn!(error = %error, "cannot accept a connection");
                tokio::time::sleep(REST).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
    shared.over.cancel();
    Ok(())
}

async fn serve(shared: Arc<Shared>, protocol: Protocol, stream: TcpStream, from: SocketAddr) {
    let ip = from.ip().to_canonical();
    // Refused before any cryptography.
    let Some(_permit) = shared.permits.connection(ip) else {
        tracing::debug!(client.ip = %ip, "too many connections");
        return;
    };
    let _open = Held::by(&METRICS.connections);
    let Ok(login) = tokio::time::timeout(LOGIN_QUEUE, shared.permits.login(ip)).await else { return };
    let connection = Connection::new(&shared.config.limits, ip, login);
    ssh::serve(protocol, shared, stream, connection).await;
}
