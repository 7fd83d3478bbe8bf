//! What runs: `/v1/projects/{project}/status`, `/logs` and `/stats`.

use axum::{extract::State, response::Response};
use futures_util::{StreamExt as _, stream};
use http::HeaderMap;
use paastech_proto::pomegranate::{
    Container, ContainerStats, LogsRequest, LogsResponse, StatsRequest, StatusRequest,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::{
    extract::Query,
    problem::Problem,
    reply::Reply,
    stream::{Item, respond},
};
use crate::{
    app::{self, App},
    auth::{
        Authorized,
        permission::need::{Read, ReadLogs},
    },
    store::{project, release},
};

/// What should run, and what does.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusView {
    /// running, stopped or deleted.
    desired_state: String,
    /// Where the app is served.
    url: String,
    active_release: Option<ActiveRelease>,
    containers: Vec<ContainerView>,
}

/// The release that has the traffic.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ActiveRelease {
    id: String,
    seq: i64,
}

/// A container of the project.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ContainerView {
    name: String,
    /// The number of its release.
    release: i64,
    process: String,
    /// created, running, restarting, exited or dead.
    state: String,
    /// starting, healthy or unhealthy.
    health: String,
    restarts: u32,
    exit_code: i32,
    oom_killed: bool,
    started_at: i64,
}

impl From<Container> for ContainerView {
    fn from(container: Container) -> Self {
        Self {
            name: container.name,
            release: container.release_seq,
            process: container.process,
            state: container.state,
            health: container.health,
            restarts: container.restarts,
            exit_code: container.exit_code,
            oom_killed: container.oom_killed,
            started_at: container.started_at_ms,
        }
    }
}

/// Read a project's status
#[utoipa::path(get, path = "/v1/projects/{project}/status", tag = "runtime",
    params(("project" = String, Path, description = "Its id, or the slug of one's own")),
    extensions(("x-permission" = json!("Read"))), responses((status = 200, body = StatusView)))]
pub(crate) async fn status(
    State(app): State<App>,
    project: Authorized<Read>,
) -> Result<Reply<StatusView>, Problem> {
    let active_release = active_release(&app, &project).await?;
    let request = StatusRequest { project_id: project.id.to_string() };
    let containers = match app.pomegranate.clone().status(request).await {
        Ok(answer) => answer.into_inner().containers,
        Err(status) if status.code() == tonic::Code::NotFound => Vec::new(),
        Err(status) => return Err(status.into()),
    };
    Ok(Reply::ok(StatusView {
        desired_state: project.desired_state.clone(),
        url: app::app_url(&app.config, project.id),
        active_release,
        containers: containers.into_iter().map(ContainerView::from).collect(),
    }))
}

async fn active_release(app: &App, project: &project::Row) -> Result<Option<ActiveRelease>, Problem> {
    let Some(id) = project.active_release_id.0 else { return Ok(None) };
    let mut tx = app.db.read().await?;
    let row = release::get(&mut tx, project.id, &id.to_string()).await?;
    Ok(row.map(|row| ActiveRelease { id: row.id, seq: row.seq }))
}

/// What a project uses.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatsView {
    containers: Vec<UsageView>,
}

/// What one container uses.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageView {
    name: String,
    /// Of one core.
    cpu_percent: f64,
    memory_bytes: u64,
    memory_limit_bytes: u64,
    network_received_bytes: u64,
    network_sent_bytes: u64,
    pids: u32,
}

impl From<ContainerStats> for UsageView {
    fn from(stats: ContainerStats) -> Self {
        Self {
            name: stats.container,
            cpu_percent: if stats.cpu_percent.is_finite() { stats.cpu_percent } else { 0.0 },
            memory_bytes: stats.memory_bytes,
            memory_limit_bytes: stats.memory_limit_bytes,
            network_received_bytes: stats.network_rx_bytes,
            network_sent_bytes: stats.network_tx_bytes,
            pids: stats.pids,
        }
    }
}

/// Read what a project uses
#[utoipa::path(get, path = "/v1/projects/{project}/stats", tag = "runtime",
    params(("project" = String, Path, description = "Its id, or the slug of one's own")),
    extensions(("x-permission" = json!("Read"))), responses((status = 200, body = StatsView)))]
pub(crate) async fn stats(
    State(app): State<App>,
    project: Authorized<Read>,
) -> Result<Reply<StatsView>, Problem> {
    let request = StatsRequest { project_id: project.id.to_string() };
    let containers = match app.pomegranate.clone().stats(request).await {
        Ok(answer) => answer.into_inner().containers,
        Err(status) if status.code() == tonic::Code::NotFound => Vec::new(),
        Err(status) => return Err(status.into()),
    };
    Ok(Reply::ok(StatsView { containers: containers.into_iter().map(UsageView::from).collect() }))
}

const MAX_TAIL: u32 = 100_000;

/// Which lines of an app's log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AppLogQuery {
    /// The last lines of each container: 100 when absent, 0 = all that is kept.
    #[param(maximum = 100_000)]
    tail: Option<u32>,
    /// Only lines since then, in milliseconds since 1970.
    #[param(minimum = 0)]
    since: Option<i64>,
    /// Whether to go on with new lines: false when absent.
    follow: Option<bool>,
}

/// Read what a project's app writes
///
/// Server-Sent Events (`line`) where `Accept` asks for them, JSON lines otherwise:
/// `{container, stream, at, text}`.
#[utoipa::path(get, path = "/v1/projects/{project}/logs", tag = "runtime",
    params(("project" = String, Path, description = "Its id, or the slug of one's own"), AppLogQuery),
    extensions(("x-permission" = json!("ReadLogs"))),
    responses((status = 200, content((String = "application/x-ndjson"), (String = "text/event-stream")))))]
pub(crate) async fn logs(
    State(app): State<App>,
    project: Authorized<ReadLogs>,
    Query(query): Query<AppLogQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (tail, since_ms) = (query.tail.unwrap_or(100), query.since.unwrap_or(0));
    if tail > MAX_TAIL {
        return Err(Problem::invalid("tail", format!("must be at most {MAX_TAIL}")));
    }
    if since_ms < 0 {
        return Err(Problem::invalid("since", "must not be negative"));
    }
    let request = LogsRequest {
        project_id: project.id.to_string(),
        release_id: String::new(),
        tail,
        since_ms,
        follow: query.follow.unwrap_or(false),
    };
    let stopping = app.stopping.clone();
    match app.pomegranate.clone().logs(request).await {
        // A broken stream ends; the client asks again.
        Ok(answer) => {
            let lines = answer.into_inner().take_while(|line| std::future::ready(line.is_ok()));
            let items = lines.filter_map(|line| std::future::ready(line.ok().map(item)));
            Ok(respond(&headers, items, stopping))
        }
        Err(status) if status.code() == tonic::Code::NotFound => {
            Ok(respond(&headers, stream::empty(), stopping))
        }
        Err(status) => Err(status.into()),
    }
}

fn item(line: LogsResponse) -> Item {
    let data = json!({
        "container": line.container, "stream": line.stream, "at": line.at_ms, "text": line.text,
    });
    Item { id: None, event: "line", data }
}
