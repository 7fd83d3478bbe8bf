//! `/v1/operations` and `/v1/projects/{project}/operations`.

use axum::extract::State;
use paastech_db::DbError;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    extract::Query,
    problem::Problem,
    reply::{Items, PageQuery, Reply},
};
use crate::{
    app::{self, App},
    auth::{
        Authorized,
        access::AuthorizedOperation,
        permission::need::{Deploy, Read},
    },
    engine,
    store::operation::{self, Kinds},
};

/// Something that was accepted and is being done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperationView {
    id: Uuid,
    project_id: Uuid,
    /// build, deploy, stop, start or delete.
    kind: String,
    /// queued, running, undoing; at its end done, failed, cancelled, superseded or quarantined.
    state: String,
    step: String,
    /// The commit that is built or deployed.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    /// The release it has made.
    #[serde(skip_serializing_if = "Option::is_none")]
    release_id: Option<String>,
    /// Where the app is served.
    url: String,
    /// Why it did not do what was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<OperationError>,
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<i64>,
}

/// Why an operation did not do what was asked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperationError {
    /// Stable: what a program decides by.
    code: String,
    /// One sentence for a person.
    message: String,
}

impl OperationView {
    pub(crate) fn new(app: &App, row: operation::Row) -> Result<Self, DbError> {
        let (id, project) = (row.id()?, row.project_id()?);
        let error =
            row.error_code.map(|code| OperationError { code, message: row.error_text.unwrap_or_default() });
        Ok(Self {
            id: id.uuid(),
            project_id: project.uuid(),
            kind: row.kind,
            state: row.state,
            step: row.step,
            commit: row.commit_oid,
            release_id: row.release_id,
            url: app::app_url(&app.config, project),
            error,
            created_at: row.created_at,
            ended_at: row.ended_at,
        })
    }

    /// 202, with where to follow it.
    pub(crate) fn accepted(app: &App, row: operation::Row) -> Result<Reply<Self>, Problem> {
        let (location, version) = (format!("/v1/operations/{}", row.id), row.version);
        Ok(Reply::accepted(location, Self::new(app, row)?).version(version))
    }
}

/// Read an operation
#[utoipa::path(get, path = "/v1/operations/{operation}", tag = "operations", params(("operation" = Uuid, Path)),
    extensions(("x-permission" = json!("Read"))), responses((status = 200, body = OperationView)))]
pub(crate) async fn read(
    State(app): State<App>,
    operation: AuthorizedOperation<Read>,
) -> Result<Reply<OperationView>, Problem> {
    let version = operation.row.version;
    Ok(Reply::ok(OperationView::new(&app, operation.row)?).version(version))
}

/// List a project's operations
///
/// The newest first.
#[utoipa::path(get, path = "/v1/projects/{project}/operations", tag = "operations",
    params(("project" = String, Path, description = "Its id, or the slug of one's own"), PageQuery),
    extensions(("x-permission" = json!("Read"))), responses((status = 200, body = Items<OperationView>)))]
pub(crate) async fn list(
    State(app): State<App>,
    project: Authorized<Read>,
    Query(query): Query<PageQuery>,
) -> Result<Reply<Items<OperationView>>, Problem> {
    page_of(&app, &project, query, Kinds::All).await
}

/// List a project's builds
///
/// The newest first: operations that built, or are to build, code. Those of kind build are of pushes; a deployment
/// builds when its commit has no image. Each is read, followed and cancelled as an operation.
#[utoipa::path(get, path = "/v1/projects/{project}/builds", tag = "builds",
    params(("project" = String, Path, description = "Its id, or the slug of one's own"), PageQuery),
    extensions(("x-permission" = json!("Read"))), responses((status = 200, body = Items<OperationView>)))]
pub(crate) async fn list_builds(
    State(app): State<App>,
    project: Authorized<Read>,
    Query(query): Query<PageQuery>,
) -> Result<Reply<Items<OperationView>>, Problem> {
    page_of(&app, &project, query, Kinds::Builds).await
}

async fn page_of(
    app: &App,
    project: &Authorized<Read>,
    query: PageQuery,
    kinds: Kinds,
) -> Result<Reply<Items<OperationView>>, Problem> {
    let page = query.page()?;
    let before = Some(page.after.as_str()).filter(|after| !after.is_empty());
    let mut tx = app.db.read().await?;
    let rows = operation::list(&mut tx, project.id, kinds, before, page.limit).await?;
    Ok(Reply::ok(Items::try_new(&page, rows, |row| row.id.clone(), |row| OperationView::new(app, row))?))
}

/// Cancel an operation
///
/// What it has done so far is undone; after its commit point it goes on to its end.
#[utoipa::path(post, path = "/v1/operations/{operation}/cancel", tag = "operations",
    params(("operation" = Uuid, Path)), extensions(("x-permission" = json!("Deploy"))),
    responses((status = 202, body = OperationView), (status = 409, description = "It has ended already, or is a deletion")))]
pub(crate) async fn cancel(
    State(app): State<App>,
    operation: AuthorizedOperation<Deploy>,
) -> Result<Reply<OperationView>, Problem> {
    if operation.row.kind == "delete" {
        return Err(Problem::conflict(
            "not_cancellable",
            "nothing brings back a project that is being deleted",
        ));
    }
    let mut tx = app.db.begin().await?;
    let asked =
        engine::cancel(&app.engine, &mut tx, &operation.row, "cancelled", "cancelled on request").await?;
    let row = operation::get(&mut tx, operation.row.id()?).await?.ok_or_else(Problem::not_found)?;
    tx.commit().await?;
    if !asked {
        return Err(Problem::conflict("operation_ended", format!("the operation has ended: {}", row.state)));
    }
    app.engine.wake();
    OperationView::accepted(&app, row)
}
