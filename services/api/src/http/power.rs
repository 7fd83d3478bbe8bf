//! `/v1/projects/{project}/stop` and `/start`.

use axum::extract::State;
use paastech_db::Tx;
use paastech_types::ProjectId;

use super::{operations::OperationView, problem::Problem, reply::Reply};
use crate::{
    app::App,
    auth::{Authorized, Caller, permission::need::Deploy},
    engine::{self, Input, NewOperation},
    store::project,
};

/// Stop a project's app
///
/// Its containers stop and stay stopped; its address answers 404.
#[utoipa::path(post, path = "/v1/projects/{project}/stop", tag = "deployments",
    params(("project" = String, Path, description = "Its id, or the slug of one's own")),
    extensions(("x-permission" = json!("Deploy"))), responses((status = 202, body = OperationView)))]
pub(crate) async fn stop(
    State(app): State<App>,
    project: Authorized<Deploy>,
) -> Result<Reply<OperationView>, Problem> {
    deployed(&project)?;
    submit(&app, &project.caller, &project, Input::Stop).await
}

/// Start a stopped app
///
/// With the release that was active.
#[utoipa::path(post, path = "/v1/projects/{project}/start", tag = "deployments",
    params(("project" = String, Path, description = "Its id, or the slug of one's own")),
    extensions(("x-permission" = json!("Deploy"))), responses((status = 202, body = OperationView)))]
pub(crate) async fn start(
    State(app): State<App>,
    project: Authorized<Deploy>,
) -> Result<Reply<OperationView>, Problem> {
    deployed(&project)?;
    submit(&app, &project.caller, &project, Input::Start).await
}

fn deployed(project: &project::Row) -> Result<(), Problem> {
    match project.active_release_id.0 {
        Some(_) => Ok(()),
        None => Err(Problem::conflict("not_deployed", "nothing is deployed yet: push first")),
    }
}

/// Accepts an operation on a project that still lives.
pub(crate) async fn submit(
    app: &App,
    caller: &Caller,
    project: &project::Row,
    input: Input,
) -> Result<Reply<OperationView>, Problem> {
    app.limiters.deploy(project.id)?;
    let mut tx = app.db.begin().await?;
    project::lock(&mut tx, project.id).await?.ok_or_else(Problem::not_found)?;
    leave_pushes(&mut tx, project.id, &input).await?;
    let new = NewOperation { project_id: project.id, input, created_by: Some(caller.account) };
    let row = engine::submit(&app.engine, &mut tx, new).await?;
    tx.commit().await?;
    app.engine.wake();
    OperationView::accepted(app, row)
}

/// Refuses what would take the place of a push that waits for its turn.
pub(crate) async fn leave_pushes(tx: &mut Tx, project: ProjectId, input: &Input) -> Result<(), Problem> {
    match engine::in_the_way(tx, project, input).await? {
        None => Ok(()),
        Some(row) => {
            let detail = format!("a push waits to be deployed: wait for operation {}, or cancel it", row.id);
            Err(Problem::conflict("deployment_waiting", detail))
        }
    }
}
