//! `/v1/roles`: what each role may do.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    problem::Problem,
    reply::{Items, Reply},
};
use crate::{app::App, auth::Caller, store::role};

/// A named set of permissions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RoleView {
    id: Uuid,
    name: String,
    /// project, or installation: the latter's project permissions hold in every project.
    scope: String,
    permissions: Vec<String>,
}

/// List roles
#[utoipa::path(get, path = "/v1/roles", tag = "roles", responses((status = 200, body = Items<RoleView>)))]
pub(crate) async fn list(State(app): State<App>, _: Caller) -> Result<Reply<Items<RoleView>>, Problem> {
    let mut tx = app.db.read().await?;
    let mut roles = Vec::new();
    for row in role::list(&mut tx).await? {
        let permissions = role::permissions(&mut tx, row.id).await?;
        roles.push(RoleView { id: row.id.uuid(), name: row.name, scope: row.scope, permissions });
    }
    Ok(Reply::ok(Items::all(roles)))
}
