//! `/v1/projects/{project}/cache`.

use axum::{extract::State, http::StatusCode};
use paastech_proto::pomegranate::{ClearCacheRequest, Scope};

use super::problem::Problem;
use crate::{
    app::App,
    auth::{Authorized, permission::need::Deploy},
};

/// Clear the build cache
///
/// What builds left for the next one is dropped: that one begins from nothing.
#[utoipa::path(delete, path = "/v1/projects/{project}/cache", tag = "builds",
    params(("project" = String, Path, description = "Its id, or the slug of one's own")),
    extensions(("x-permission" = json!("Deploy"))), responses((status = 204)))]
pub(crate) async fn clear(
    State(app): State<App>,
    project: Authorized<Deploy>,
) -> Result<StatusCode, Problem> {
    let scope = Scope { project_id: project.id.to_string(), fence: project.fence };
    app.pomegranate.clone().clear_cache(ClearCacheRequest { scope: Some(scope) }).await?;
    Ok(StatusCode::NO_CONTENT)
}
