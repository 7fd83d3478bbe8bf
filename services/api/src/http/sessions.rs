//! `/v1/sessions`: log in, refresh, log out.

use axum::extract::State;
use http::StatusCode;
use paastech_runtime::Secret;
use paastech_types::EmailAddress;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{accounts::AccountView, extract::Json, problem::Problem, reply::Reply};
use crate::{
    app::App,
    auth::{
        Caller,
        caller::Origin,
        session::{self, Refreshed, Tokens},
        token::ACCESS_MS,
    },
    store::{account, session as sessions},
};

/// Who logs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogIn {
    #[schema(value_type = String, format = "email")]
    email: EmailAddress,
    #[schema(value_type = String)]
    password: Secret,
}

/// What a log-in gives.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionView {
    /// For the `Authorization` header.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds until the access token expires.
    expires_in: i64,
    /// Works once, for the next pair of tokens.
    refresh_token: String,
    account: AccountView,
}

impl SessionView {
    fn new(tokens: Tokens, account: account::Row) -> Self {
        Self {
            access_token: tokens.access,
            token_type: "Bearer",
            expires_in: ACCESS_MS / 1000,
            refresh_token: tokens.refresh,
            account: account.into(),
        }
    }
}

/// Log in
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions", security(()),
    responses((status = 201, body = SessionView)))]
pub(crate) async fn create(
    State(app): State<App>,
    origin: Origin,
    Json(body): Json<LogIn>,
) -> Result<Reply<SessionView>, Problem> {
    let email = body.email.as_str().to_lowercase();
    app.limiters.login(origin.address(), &email)?;
    let mut tx = app.db.read().await?;
    let row = account::by_email(&mut tx, &email).await?;
    drop(tx);
    let hash = row.as_ref().map(|row| row.password_hash.clone());
    let same = app.passwords.verify(body.password, hash).await?;
    let Some(row) = row.filter(|_| same) else {
        return Err(Problem::unauthenticated("the e-mail address or the password is wrong"));
    };
    let mut tx = app.db.begin().await?;
    let tokens = session::begin(&app, &mut tx, row.id).await?;
    tx.commit().await?;
    Ok(Reply::created("/v1/sessions/current".to_owned(), SessionView::new(tokens, row)))
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refresh {
    #[schema(value_type = String)]
    refresh_token: Secret,
}

/// Get new tokens
///
/// The old refresh token is used up; using it again ends the session.
#[utoipa::path(post, path = "/v1/sessions/refresh", tag = "sessions", security(()),
    responses((status = 200, body = SessionView)))]
pub(crate) async fn refresh(
    State(app): State<App>,
    origin: Origin,
    Json(body): Json<Refresh>,
) -> Result<Reply<SessionView>, Problem> {
    let mut tx = app.db.begin().await?;
    let refreshed = session::refresh(&app, &mut tx, body.refresh_token.expose()).await?;
    if let Refreshed::New(id, tokens) = refreshed {
        let row = account::get(&mut tx, id).await?.ok_or_else(Problem::not_found)?;
        tx.commit().await?;
        return Ok(Reply::ok(SessionView::new(tokens, row)));
    }
    // The end of a session whose token came twice is kept, too.
    tx.commit().await?;
    app.limiters.anonymous(origin.address())?;
    Err(Problem::unauthenticated("the refresh token is not valid, or no longer"))
}

/// Log out
#[utoipa::path(delete, path = "/v1/sessions/current", tag = "sessions", responses((status = 204)))]
pub(crate) async fn delete_current(State(app): State<App>, caller: Caller) -> Result<StatusCode, Problem> {
    if let Some(session) = caller.session {
        let mut tx = app.db.begin().await?;
        sessions::revoke(&mut tx, session, app.clock.now_ms()).await?;
        tx.commit().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Log out everywhere
#[utoipa::path(delete, path = "/v1/sessions", tag = "sessions", responses((status = 204)))]
pub(crate) async fn delete_all(State(app): State<App>, caller: Caller) -> Result<StatusCode, Problem> {
    let mut tx = app.db.begin().await?;
    sessions::revoke_all(&mut tx, caller.account, None, app.clock.now_ms()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
