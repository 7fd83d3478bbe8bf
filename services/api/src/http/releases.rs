//! `/v1/projects/{project}/releases`.

use axum::extract::State;
use paastech_db::{DbError, Tx};
use paastech_proto::pomegranate;
use paastech_types::{ProjectId, ReleaseId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    extract::{Path, Query},
    problem::Problem,
    reply::{Items, Reply, page},
};
use crate::{
    app::App,
    auth::{Authorized, permission::need::Read},
    store::{image, release},
};

/// An image and a configuration; it never changes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReleaseView {
    id: String,
    /// Rises per project: v1, v2.
    seq: i64,
    commit: String,
    configuration_version: i64,
    /// push, deployment, rollback or configuration.
    reason: String,
    /// The id of the release whose image it took again.
    #[serde(skip_serializing_if = "Option::is_none")]
    rollback_of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<String>,
    created_at: i64,
    /// When it got the traffic; null = never.
    deployed_at: Option<i64>,
    /// Whether it has the traffic now.
    active: bool,
    /// What runs; in the answer for one release, not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<ImageView>,
}

/// What a build made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImageView {
    size_bytes: i64,
    /// The port that the app must listen on.
    port: i64,
    processes: Vec<ProcessView>,
    /// What built it, in their order; none for a Dockerfile.
    buildpacks: Vec<BuildpackView>,
    /// The builder image; absent for a Dockerfile.
    #[serde(skip_serializing_if = "Option::is_none")]
    builder: Option<String>,
}

/// A kind of process that the image can run; only `web` is run.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ProcessView {
    name: String,
    /// What it runs; empty when the image does not say.
    declared: String,
}

/// A buildpack that took part.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct BuildpackView {
    id: String,
    version: String,
}

impl From<pomegranate::Buildpack> for BuildpackView {
    fn from(pack: pomegranate::Buildpack) -> Self {
        Self { id: pack.id, version: pack.version }
    }
}

impl ImageView {
    fn new(row: image::Row) -> Result<Self, Problem> {
        let malformed = |_| DbError::Corrupt("image");
        Ok(Self {
            size_bytes: row.size_bytes,
            port: row.port,
            processes: serde_json::from_str(&row.processes).map_err(malformed)?,
            buildpacks: serde_json::from_str(&row.buildpacks).map_err(malformed)?,
            builder: Some(row.builder).filter(|builder| !builder.is_empty()),
        })
    }
}

impl ReleaseView {
    fn new(row: release::Row, active: Option<ReleaseId>) -> Self {
        Self {
            active: active.is_some_and(|id| id.to_string() == row.id),
            id: row.id,
            seq: row.seq,
            commit: row.commit_oid,
            configuration_version: row.configuration_version,
            reason: row.reason,
            rollback_of: row.rollback_of,
            operation_id: row.operation_id,
            created_by: row.created_by,
            created_at: row.created_at,
            deployed_at: row.deployed_at,
            image: None,
        }
    }
}

/// Which page of releases.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReleaseQuery {
    /// How many items at most: 1 to 100, 50 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<i64>,
}

/// List releases
///
/// The newest first.
#[utoipa::path(get, path = "/v1/projects/{project}/releases", tag = "releases",
    params(("project" = String, Path, description = "Its id, or the slug of one's own"), ReleaseQuery),
    extensions(("x-permission" = json!("Read"))), responses((status = 200, body = Items<ReleaseView>)))]
pub(crate) async fn list(
    State(app): State<App>,
    project: Authorized<Read>,
    Query(query): Query<ReleaseQuery>,
) -> Result<Reply<Items<ReleaseView>>, Problem> {
    let page = page(query.limit, None)?;
    let mut tx = app.db.read().await?;
    let rows = release::list(&mut tx, project.id, query.cursor, page.limit).await?;
    let active = project.active_release_id.0;
    Ok(Reply::ok(Items::new(&page, rows, |row| row.seq.to_string(), |row| ReleaseView::new(row, active))))
}

/// Read a release
#[utoipa::path(get, path = "/v1/projects/{project}/releases/{release}", tag = "releases",
    params(("project" = String, Path, description = "Its id, or the slug of one's own"),
        ("release" = String, Path, description = "Its number or its id")),
    extensions(("x-permission" = json!("Read"))), responses((status = 200, body = ReleaseView)))]
pub(crate) async fn read(
    State(app): State<App>,
    project: Authorized<Read>,
    path: Path<(String, String)>,
) -> Result<Reply<ReleaseView>, Problem> {
    let (_, reference) = path.0;
    let mut tx = app.db.read().await?;
    let row = find(&mut tx, project.id, &reference).await?.ok_or_else(Problem::not_found)?;
    let image = image::get(&mut tx, project.id, &row.image_id).await?.map(ImageView::new).transpose()?;
    Ok(Reply::ok(ReleaseView { image, ..ReleaseView::new(row, project.active_release_id.0) }))
}

/// A project's release by its number or its id.
pub(crate) async fn find(
    tx: &mut Tx,
    project: ProjectId,
    reference: &str,
) -> Result<Option<release::Row>, Problem> {
    if let Ok(seq) = reference.parse::<i64>() {
        return Ok(release::find_by_seq(tx, project, seq).await?);
    }
    match reference.parse::<ReleaseId>() {
        Ok(id) => Ok(release::get(tx, project, &id.to_string()).await?),
        Err(_) => Ok(None),
    }
}
