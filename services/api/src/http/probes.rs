//! `/healthz`, `/readyz`, `/v1/version`.

use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use paastech_proto::{git::ListRefsRequest, pomegranate::StatusRequest};
use paastech_types::ProjectId;
use serde::Serialize;
use utoipa::ToSchema;

use super::{problem::Problem, reply::Reply};
use crate::app::App;

/// Whether the process lives.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    status: &'static str,
}

/// Is it alive?
#[utoipa::path(get, path = "/healthz", tag = "probes", security(()), responses((status = 200, body = Health)))]
pub(crate) async fn healthz() -> Reply<Health> {
    Reply::ok(Health { status: "ok" })
}

/// Is it ready?
///
/// When the database and the services behind the api answer.
#[utoipa::path(get, path = "/readyz", tag = "probes", security(()), responses((status = 200, body = Health)))]
pub(crate) async fn readyz(State(app): State<App>) -> Result<Reply<Health>, Problem> {
    if app.stopping.is_cancelled() {
        return Err(Problem::unavailable("the api is stopping"));
    }
    let (database, git, pomegranate) = tokio::join!(within(app.db.ping()), git(&app), pomegranate(&app));
    let silent: Vec<&str> = [("database", database), ("git-controller", git), ("pomegranate", pomegranate)]
        .into_iter()
        .filter_map(|(name, answers)| (!answers).then_some(name))
        .collect();
    if silent.is_empty() {
        return Ok(Reply::ok(Health { status: "ready" }));
    }
    Err(Problem::unavailable(format!("no answer from: {}", silent.join(", "))))
}

async fn within<T, E>(answer: impl Future<Output = Result<T, E>>) -> bool {
    tokio::time::timeout(Duration::from_secs(2), answer).await.is_ok_and(|answer| answer.is_ok())
}

/// Asks for a project that cannot be: "no such repository" is an answer.
async fn git(app: &App) -> bool {
    let request = ListRefsRequest { project_id: ProjectId::new().to_string(), ..Default::default() };
    let mut git = app.git.clone();
    within(async { answered(git.list_refs(request).await.map(|_| ())) }).await
}

async fn pomegranate(app: &App) -> bool {
    let request = StatusRequest { project_id: ProjectId::new().to_string() };
    let mut pomegranate = app.pomegranate.clone();
    within(async { answered(pomegranate.status(request).await.map(|_| ())) }).await
}

fn answered(outcome: Result<(), tonic::Status>) -> Result<(), tonic::Status> {
    outcome.or_else(|status| if status.code() == tonic::Code::NotFound { Ok(()) } else { Err(status) })
}

/// What is running.
#[derive(Serialize, ToSchema)]
pub(crate) struct Version {
    version: &'static str,
    /// The API's version: the first part of every path.
    api: &'static str,
}

/// Which version is this?
#[utoipa::path(get, path = "/v1/version", tag = "probes", security(()), responses((status = 200, body = Version)))]
pub(crate) async fn version() -> Reply<Version> {
    Reply::ok(Version { version: env!("CARGO_PKG_VERSION"), api: "v1" })
}

/// Nothing is served here.
pub(crate) async fn unknown() -> Problem {
    Problem::not_found()
}

/// Something is, but not by this method.
pub(crate) async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not by this method")
}
