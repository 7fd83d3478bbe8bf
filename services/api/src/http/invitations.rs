//! `/v1/invitations`.

use axum::extract::{FromRequestParts, State};
use http::{StatusCode, request::Parts};
use paastech_types::{EmailAddress, InvitationId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    extract::{Json, Path, Query},
    problem::Problem,
    reply::{Items, PageQuery, Reply},
};
use crate::{
    app::App,
    auth::{
        Caller, Privileged,
        permission::{Permission, need::ManageAccounts},
        token,
    },
    config::SignUp,
    store::invitation,
};

const LIFE_MS: i64 = 7 * 24 * 3600 * 1000;

/// Who is invited.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewInvitation {
    /// Only for this address, if given.
    #[schema(value_type = Option<String>, format = "email")]
    email: Option<EmailAddress>,
}

/// An invitation, with its token: it is shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct FreshInvitation {
    id: Uuid,
    token: String,
    expires_at: i64,
}

/// An invitation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InvitationView {
    id: Uuid,
    email: Option<String>,
    created_at: i64,
    expires_at: i64,
    used_at: Option<i64>,
}

impl From<invitation::Row> for InvitationView {
    fn from(row: invitation::Row) -> Self {
        Self {
            id: row.id.uuid(),
            email: row.email,
            created_at: row.created_at,
            expires_at: row.expires_at,
            used_at: row.used_at,
        }
    }
}

/// Who may invite: administrators, and everybody where sign-up is by invitation.
pub(crate) struct Inviter(Caller);

impl FromRequestParts<App> for Inviter {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        if app.config.sign_up != SignUp::Invite && !caller.permissions.allow(Permission::ManageAccounts) {
            return Err(Problem::forbidden(Permission::ManageAccounts.name()));
        }
        Ok(Self(caller))
    }
}

/// Invite somebody
///
/// With the token one account can be made, within seven days.
#[utoipa::path(post, path = "/v1/invitations", tag = "invitations",
    extensions(("x-permission" = json!("ManageAccounts"))), responses((status = 201, body = FreshInvitation)))]
pub(crate) async fn create(
    State(app): State<App>,
    by: Inviter,
    Json(body): Json<NewInvitation>,
) -> Result<Reply<FreshInvitation>, Problem> {
    let (id, now, fresh) = (InvitationId::new(), app.clock.now_ms(), token::opaque("pt_invite"));
    let email = body.email.map(|email| email.as_str().to_lowercase());
    let new = invitation::New {
        id,
        token_hash: &token::hash(&fresh),
        email: email.as_deref(),
        created_by: by.0.account,
        now,
        expires_at: now + LIFE_MS,
    };
    let mut tx = app.db.begin().await?;
    invitation::insert(&mut tx, new).await?;
    tx.commit().await?;
    let shown = FreshInvitation { id: id.uuid(), token: fresh, expires_at: now + LIFE_MS };
    Ok(Reply::created(format!("/v1/invitations/{id}"), shown))
}

/// List invitations
#[utoipa::path(get, path = "/v1/invitations", tag = "invitations", params(PageQuery),
    extensions(("x-permission" = json!("ManageAccounts"))),
    responses((status = 200, body = Items<InvitationView>)))]
pub(crate) async fn list(
    State(app): State<App>,
    _: Privileged<ManageAccounts>,
    Query(query): Query<PageQuery>,
) -> Result<Reply<Items<InvitationView>>, Problem> {
    let page = query.page()?;
    let mut tx = app.db.read().await?;
    let rows = invitation::list(&mut tx, &page).await?;
    Ok(Reply::ok(Items::new(&page, rows, |row| row.id.to_string(), InvitationView::from)))
}

/// Withdraw an invitation
#[utoipa::path(delete, path = "/v1/invitations/{invitation}", tag = "invitations",
    params(("invitation" = Uuid, Path)), extensions(("x-permission" = json!("ManageAccounts"))),
    responses((status = 204)))]
pub(crate) async fn delete(
    State(app): State<App>,
    _: Privileged<ManageAccounts>,
    Path(id): Path<InvitationId>,
) -> Result<StatusCode, Problem> {
    let mut tx = app.db.begin().await?;
    if !invitation::delete(&mut tx, id).await? {
        return Err(Problem::not_found());
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
