//! `/v1/projects`.

use axum::extract::State;
use paastech_db::DbError;
use paastech_proto::git::{CreateRepositoryRequest, Scope, SetDeployBranchRequest};
use paastech_types::{Branch, ProjectId, Slug};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    extract::{IfMatch, Json, Query},
    operations::OperationView,
    problem::Problem,
    reply::{Items, Reply, etag, page},
};
use crate::{
    app::{self, App},
    auth::{
        Authorized, Caller, Privileged,
        permission::need::{CreateProject, DeleteProject, ManageProject, Read},
    },
    engine::{self, Input, NewOperation},
    error::Error,
    store::{Flag, desired, membership, project, role},
};

/// A project.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProjectView {
    id: Uuid,
    slug: String,
    owner_id: Uuid,
    /// What to `git push` to.
    git_url: String,
    /// Where the app is served.
    url: String,
    deploy_branch: String,
    /// Whether a push deploys; if not, it records a release.
    auto_deploy: bool,
    /// An HTTP path that must answer before traffic moves; null = a connection is enough.
    health_path: Option<String>,
    /// running, stopped or deleted.
    desired_state: String,
    /// The id of the release that has the traffic.
    active_release: Option<Uuid>,
    configuration_version: i64,
    created_at: i64,
    updated_at: i64,
}

impl ProjectView {
    pub(crate) fn new(app: &App, row: project::Row) -> Self {
        Self {
            id: row.id.uuid(),
            git_url: app::git_url(&app.config, row.id),
            url: app::app_url(&app.config, row.id),
            slug: row.slug,
            owner_id: row.owner_id.uuid(),
            deploy_branch: row.deploy_branch,
            auto_deploy: row.auto_deploy.0,
            health_path: row.health_path,
            desired_state: row.desired_state,
            active_release: row.active_release_id.0.map(|id| id.uuid()),
            configuration_version: row.configuration_version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// An absolute HTTP path, or empty for none.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
struct HealthPath(String);

impl TryFrom<String> for HealthPath {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let path = text.is_empty() || text.starts_with('/');
        if path && text.len() <= 200 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text));
        }
        Err("must begin with / and hold at most 200 visible ASCII characters, or be empty for none")
    }
}

impl HealthPath {
    fn stored(self) -> Option<String> {
        Some(self.0).filter(|text| !text.is_empty())
    }
}

/// A project to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewProject {
    /// Its name among its owner's projects.
    #[schema(value_type = String, pattern = "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", example = "shop")]
    slug: Slug,
    /// The branch whose pushes are built: main when absent.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200)]
    deploy_branch: Option<Branch>,
    /// Whether a push deploys: true when absent.
    auto_deploy: Option<bool>,
    /// An HTTP path that must answer before traffic moves.
    #[schema(value_type = Option<String>, max_length = 200, pattern = "^(/[!-~]*)?$")]
    health_path: Option<HealthPath>,
}

/// Make a project
///
/// With an empty repository to push to.
#[utoipa::path(post, path = "/v1/projects", tag = "projects",
    extensions(("x-permission" = json!("CreateProject"))),
    responses((status = 201, body = ProjectView), (status = 409, description = "The slug is in use")))]
pub(crate) async fn create(
    State(app): State<App>,
    by: Privileged<CreateProject>,
    Json(body): Json<NewProject>,
) -> Result<Reply<ProjectView>, Problem> {
    let row = insert(&app, &by.caller, body).await?;
    let request =
        CreateRepositoryRequest { scope: Some(scope(&row)), deploy_branch: row.deploy_branch.clone() };
    if let Err(status) = app.git.clone().create_repository(request).await {
        let mut tx = app.db.begin().await?;
        project::delete(&mut tx, row.id).await?;
        tx.commit().await?;
        return Err(status.into());
    }
    let (location, version) = (format!("/v1/projects/{}", row.id), row.version);
    Ok(Reply::created(location, ProjectView::new(&app, row)).version(version))
}

async fn insert(app: &App, caller: &Caller, body: NewProject) -> Result<project::Row, Problem> {
    let (id, now) = (ProjectId::new(), app.clock.now_ms());
    let branch = body.deploy_branch.map_or_else(|| "main".to_owned(), String::from);
    let health_path = body.health_path.and_then(HealthPath::stored);
    let (data_key, _held) = app.vault.new_data_key(id)?;
    let mut tx = app.db.begin().await?;
    if project::count(&mut tx, caller.account).await? >= i64::from(app.config.quotas.max_projects) {
        return Err(Problem::conflict(
            "too_many_projects",
            "the account has as many projects as it may have",
        ));
    }
    let new = project::New {
        id,
        owner_id: caller.account,
        slug: body.slug.as_str(),
        deploy_branch: &branch,
        auto_deploy: Flag(body.auto_deploy.unwrap_or(true)),
        health_path: health_path.as_deref(),
        data_key: &data_key,
        now,
    };
    let row = project::insert(&mut tx, new).await.map_err(slug_taken)?;
    let owner = role::by_name(&mut tx, "owner").await?.ok_or(Error::Defect("a role is missing"))?;
    membership::insert(&mut tx, id, caller.account, owner.id, now).await?;
    tx.commit().await?;
    Ok(row)
}

fn slug_taken(error: DbError) -> Problem {
    match error {
        DbError::Duplicate(_) => {
            Problem::conflict("slug_taken", "one of your projects has this slug").field("slug")
        }
        other => other.into(),
    }
}

fn scope(row: &project::Row) -> Scope {
    Scope { project_id: row.id.to_string(), fence: row.fence }
}

/// Which projects.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ProjectQuery {
    /// How many items at most: 1 to 100, 50 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only the one with this slug.
    #[param(value_type = Option<String>)]
    slug: Option<Slug>,
}

/// List my projects
#[utoipa::path(get, path = "/v1/projects", tag = "projects", params(ProjectQuery),
    responses((status = 200, body = Items<ProjectView>)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ProjectQuery>,
) -> Result<Reply<Items<ProjectView>>, Problem> {
    let page = page(query.limit, query.cursor)?;
    let slug = query.slug.map(String::from).unwrap_or_default();
    let mut tx = app.db.read().await?;
    let rows = project::list(&mut tx, caller.account, &slug, &page).await?;
    Ok(Reply::ok(Items::new(&page, rows, |row| row.id.to_string(), |row| ProjectView::new(&app, row))))
}

/// Read a project
#[utoipa::path(get, path = "/v1/projects/{project}", tag = "projects",
    params(("project" = String, Path, description = "Its id, or the slug of one's own")),
    extensions(("x-permission" = json!("Read"))), responses((status = 200, body = ProjectView)))]
pub(crate) async fn read(State(app): State<App>, project: Authorized<Read>) -> Reply<ProjectView> {
    let row = project.seen.project;
    let version = row.version;
    Reply::ok(ProjectView::new(&app, row)).version(version)
}

/// What can be changed; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectChange {
    #[schema(value_type = Option<String>, pattern = "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")]
    slug: Option<Slug>,
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200)]
    deploy_branch: Option<Branch>,
    auto_deploy: Option<bool>,
    /// Empty = none.
    #[schema(value_type = Option<String>, max_length = 200, pattern = "^(/[!-~]*)?$")]
    health_path: Option<HealthPath>,
}

/// Change a project
#[utoipa::path(patch, path = "/v1/projects/{project}", tag = "projects",
    params(("project" = String, Path, description = "Its id, or the slug of one's own")),
    extensions(("x-permission" = json!("ManageProject"))),
    responses((status = 200, body = ProjectView), (status = 409, description = "The slug is in use")))]
pub(crate) async fn change(
    State(app): State<App>,
    project: Authorized<ManageProject>,
    condition: IfMatch,
    Json(body): Json<ProjectChange>,
) -> Result<Reply<ProjectView>, Problem> {
    let row = project.seen.project;
    condition.check(&etag(row.version))?;
    let branch = body.deploy_branch.map_or_else(|| row.deploy_branch.clone(), String::from);
    if branch != row.deploy_branch {
        // First: the call is idempotent, so that a repeat of this request mends what a failure leaves.
        let request = SetDeployBranchRequest { scope: Some(scope(&row)), deploy_branch: branch.clone() };
        app.git.clone().set_deploy_branch(request).await?;
    }
    let slug = body.slug.map_or_else(|| row.slug.clone(), String::from);
    let health_path = match body.health_path {
        Some(path) => path.stored(),
        None => row.health_path.clone(),
    };
    let settings = project::Settings {
        slug: &slug,
        deploy_branch: &branch,
        auto_deploy: Flag(body.auto_deploy.unwrap_or(row.auto_deploy.0)),
        health_path: health_path.as_deref(),
    };
    let mut tx = app.db.begin().await?;
    let updated = project::update(&mut tx, row.id, row.version, settings, app.clock.now_ms())
        .await
        .map_err(slug_taken)?
        .ok_or_else(|| {
            Problem::conflict("conflict", "the project was changed at the same time; try again")
        })?;
    tx.commit().await?;
    let version = updated.version;
    Ok(Reply::ok(ProjectView::new(&app, updated)).version(version))
}

/// Delete a project
///
/// Its containers, images and repository go with it. Nothing brings it back.
#[utoipa::path(delete, path = "/v1/projects/{project}", tag = "projects",
    params(("project" = String, Path, description = "Its id, or the slug of one's own")),
    extensions(("x-permission" = json!("DeleteProject"))), responses((status = 202, body = OperationView)))]
pub(crate) async fn delete(
    State(app): State<App>,
    project: Authorized<DeleteProject>,
    condition: IfMatch,
) -> Result<Reply<OperationView>, Problem> {
    condition.check(&etag(project.version))?;
    let (id, account) = (project.id, project.caller.account);
    let mut tx = app.db.begin().await?;
    let new = NewOperation { project_id: id, input: Input::Delete, created_by: Some(account) };
    let row = engine::submit(&app.engine, &mut tx, new).await?;
    if !desired::set_state(&mut tx, id, "deleted", app.clock.now_ms()).await? {
        return Err(Problem::not_found());
    }
    tx.commit().await?;
    app.engine.wake();
    OperationView::accepted(&app, row)
}
