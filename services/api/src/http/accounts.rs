//! `/v1/account` and `/v1/accounts`.

use axum::extract::{FromRequestParts, State};
use http::{StatusCode, request::Parts};
use paastech_db::{DbError, Tx};
use paastech_runtime::Secret;
use paastech_types::{AccountId, DisplayName, EmailAddress, InvitationId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    extract::{IfMatch, Json, Path, Query},
    problem::Problem,
    reply::{Items, Reply, etag, page},
};
use crate::{
    app::App,
    auth::{
        Caller, Privileged,
        caller::Origin,
        password,
        permission::{Permission, need::ManageAccounts},
        token,
    },
    config::SignUp,
    error::Error,
    store::{Flag, account, invitation, role, session},
};

/// An account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountView {
    id: Uuid,
    email: String,
    name: String,
    /// Its role in the installation: administrator or user.
    role: String,
    /// Whether its Dockerfiles are built where the operator allows only trusted ones.
    trusted: bool,
    /// Milliseconds since 1970.
    created_at: i64,
    updated_at: i64,
}

impl From<account::Row> for AccountView {
    fn from(row: account::Row) -> Self {
        Self {
            id: row.id.uuid(),
            email: row.email,
            name: row.name,
            role: row.role,
            trusted: row.trusted.0,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// What an account is made of, checked.
pub(crate) struct NewAccount {
    pub(crate) id: AccountId,
    pub(crate) email: EmailAddress,
    pub(crate) name: DisplayName,
    pub(crate) hash: String,
    pub(crate) role: &'static str,
}

/// Adds an account; the same address in other letters is the same account.
pub(crate) async fn insert(app: &App, tx: &mut Tx, new: NewAccount) -> Result<account::Row, Problem> {
    let role = role::by_name(tx, new.role).await?.ok_or(Error::Defect("a role is missing"))?;
    let email = new.email.as_str().to_lowercase();
    let added = account::New {
        id: new.id,
        email: &email,
        name: new.name.as_str(),
        password_hash: &new.hash,
        role_id: role.id,
        now: app.clock.now_ms(),
    };
    account::insert(tx, added).await.map_err(|error| match error {
        DbError::Duplicate(_) => {
            Problem::conflict("email_taken", "there is an account with this e-mail address").field("email")
        }
        other => other.into(),
    })?;
    Ok(account::get(tx, new.id).await?.ok_or(Error::Defect("the new account is gone"))?)
}

/// A new account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignUpBody {
    #[schema(value_type = String, format = "email", example = "ada@example.org")]
    email: EmailAddress,
    #[schema(value_type = String, min_length = 1, max_length = 100)]
    name: DisplayName,
    /// At least 15 characters.
    #[schema(value_type = String, min_length = 15, max_length = 1024)]
    password: Secret,
    /// The token of an invitation, where sign-up is not open.
    #[schema(value_type = Option<String>)]
    invitation: Option<Secret>,
}

/// Sign up
///
/// For anybody where sign-up is open, with an invitation where it is not; an administrator always may.
#[utoipa::path(post, path = "/v1/accounts", tag = "accounts", security((), ("bearer" = [])),
    responses((status = 201, body = AccountView), (status = 409, description = "The e-mail address is taken")))]
pub(crate) async fn create(
    State(app): State<App>,
    by: SignUpRight,
    origin: Origin,
    Json(body): Json<SignUpBody>,
) -> Result<Reply<AccountView>, Problem> {
    password::check_rule(&body.password).map_err(|why| Problem::invalid("password", why))?;
    if !by.administrator {
        app.limiters.register(origin.address())?;
        if body.invitation.is_none() && app.config.sign_up != SignUp::Open {
            let detail = "sign-up is closed: ask an administrator for an account or an invitation";
            return Err(Problem::new(StatusCode::FORBIDDEN, "sign_up_closed", detail));
        }
    }
    // Before the address is looked at: whether it has an account is told only to those who may make one.
    let invitation = match &body.invitation {
        Some(presented) => Some(find_invitation(&app, presented, &body.email).await?),
        None => None,
    };
    let hash = app.passwords.hash(body.password).await?;
    let (id, now) = (AccountId::new(), app.clock.now_ms());
    let mut tx = app.db.begin().await?;
    let row =
        insert(&app, &mut tx, NewAccount { id, email: body.email, name: body.name, hash, role: "user" })
            .await?;
    if let Some(invitation) = invitation
        && !invitation::spend(&mut tx, invitation, id, now).await?
    {
        return Err(bad_invitation());
    }
    tx.commit().await?;
    Ok(Reply::created("/v1/account".to_owned(), AccountView::from(row)))
}

/// Whether the one who signs somebody up is an administrator; nobody known is fine.
pub(crate) struct SignUpRight {
    administrator: bool,
}

impl FromRequestParts<App> for SignUpRight {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let known = parts.headers.contains_key(http::header::AUTHORIZATION)
            || Origin::of(parts) == Origin::AdminSocket;
        if !known {
            return Ok(Self { administrator: false });
        }
        let caller = Caller::from_request_parts(parts, app).await?;
        Ok(Self { administrator: caller.permissions.allow(Permission::ManageAccounts) })
    }
}

fn bad_invitation() -> Problem {
    Problem::invalid("invitation", "is unknown, used, expired, or for another e-mail address")
}

/// The invitation, if this address can still take it.
async fn find_invitation(
    app: &App,
    presented: &Secret,
    email: &EmailAddress,
) -> Result<InvitationId, Problem> {
    let mut tx = app.db.read().await?;
    let row = invitation::by_token(&mut tx, &token::hash(presented.expose())).await?;
    let row = row.ok_or_else(bad_invitation)?;
    let same = row.email.as_deref().is_none_or(|invited| invited == email.as_str().to_lowercase());
    if !same || row.used_at.is_some() || row.expires_at <= app.clock.now_ms() {
        return Err(bad_invitation());
    }
    Ok(row.id)
}

/// Read my account
#[utoipa::path(get, path = "/v1/account", tag = "accounts", responses((status = 200, body = AccountView)))]
pub(crate) async fn me(State(app): State<App>, caller: Caller) -> Result<Reply<AccountView>, Problem> {
    let mut tx = app.db.read().await?;
    let row = account::get(&mut tx, caller.account).await?.ok_or_else(Problem::not_found)?;
    let version = row.version;
    Ok(Reply::ok(AccountView::from(row)).version(version))
}

/// Another password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordChange {
    #[schema(value_type = String)]
    current: Secret,
    /// At least 15 characters.
    #[schema(value_type = String, min_length = 15, max_length = 1024)]
    new: Secret,
}

/// Change my password
///
/// Every other session ends.
#[utoipa::path(put, path = "/v1/account/password", tag = "accounts", responses((status = 204)))]
pub(crate) async fn change_password(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    Json(body): Json<PasswordChange>,
) -> Result<StatusCode, Problem> {
    let mut tx = app.db.read().await?;
    let row = account::get(&mut tx, caller.account).await?.ok_or_else(Problem::not_found)?;
    drop(tx);
    app.limiters.login(origin.address(), &row.email)?;
    password::check_rule(&body.new).map_err(|why| Problem::invalid("new", why))?;
    if !app.passwords.verify(body.current, Some(row.password_hash)).await? {
        return Err(Problem::invalid("current", "is not the current password"));
    }
    let hash = app.passwords.hash(body.new).await?;
    let (mut tx, now) = (app.db.begin().await?, app.clock.now_ms());
    account::set_password(&mut tx, caller.account, &hash, now).await?;
    session::revoke_all(&mut tx, caller.account, caller.session, now).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which accounts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AccountQuery {
    /// How many items at most: 1 to 100, 50 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only the one with this e-mail address.
    #[param(value_type = Option<String>, format = "email")]
    email: Option<EmailAddress>,
}

/// List accounts
#[utoipa::path(get, path = "/v1/accounts", tag = "accounts", params(AccountQuery),
    extensions(("x-permission" = json!("ManageAccounts"))), responses((status = 200, body = Items<AccountView>)))]
pub(crate) async fn list(
    State(app): State<App>,
    _: Privileged<ManageAccounts>,
    Query(query): Query<AccountQuery>,
) -> Result<Reply<Items<AccountView>>, Problem> {
    let page = page(query.limit, query.cursor)?;
    let email = query.email.map(|email| email.as_str().to_lowercase()).unwrap_or_default();
    let mut tx = app.db.read().await?;
    let rows = account::list(&mut tx, &email, &page).await?;
    Ok(Reply::ok(Items::new(&page, rows, |row| row.id.to_string(), AccountView::from)))
}

/// What an administrator may change of an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountChange {
    trusted: bool,
}

/// Trust an account, or no longer
#[utoipa::path(patch, path = "/v1/accounts/{account}", tag = "accounts", params(("account" = Uuid, Path)),
    extensions(("x-permission" = json!("ManageAccounts"))), responses((status = 200, body = AccountView)))]
pub(crate) async fn change(
    State(app): State<App>,
    _: Privileged<ManageAccounts>,
    Path(id): Path<AccountId>,
    condition: IfMatch,
    Json(body): Json<AccountChange>,
) -> Result<Reply<AccountView>, Problem> {
    let mut tx = app.db.begin().await?;
    let row = account::get(&mut tx, id).await?.ok_or_else(Problem::not_found)?;
    condition.check(&etag(row.version))?;
    account::set_trusted(&mut tx, id, Flag(body.trusted), app.clock.now_ms()).await?;
    let row = account::get(&mut tx, id).await?.ok_or_else(Problem::not_found)?;
    tx.commit().await?;
    let version = row.version;
    Ok(Reply::ok(AccountView::from(row)).version(version))
}
