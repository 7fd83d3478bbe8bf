//! `/v1/setup`: the first administrator.

use axum::extract::State;
use http::StatusCode;
use paastech_runtime::Secret;
use paastech_types::{AccountId, DisplayName, EmailAddress};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    accounts::{AccountView, NewAccount, insert},
    extract::Json,
    problem::Problem,
    reply::Reply,
};
use crate::{
    app::App,
    auth::{caller::Origin, password, token},
    setup as first_start,
    store::setup,
};

/// The first administrator.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetUp {
    /// What the first start printed.
    #[schema(value_type = String)]
    token: Secret,
    #[schema(value_type = String, format = "email", example = "ada@example.org")]
    email: EmailAddress,
    #[schema(value_type = String, min_length = 1, max_length = 100)]
    name: DisplayName,
    /// At least 15 characters.
    #[schema(value_type = String, min_length = 15, max_length = 1024)]
    password: Secret,
}

/// Make the first administrator
///
/// With the token that the first start printed; it works once.
#[utoipa::path(post, path = "/v1/setup", tag = "setup", security(()),
    responses((status = 201, body = AccountView), (status = 410, description = "The token has been used")))]
pub(crate) async fn create(
    State(app): State<App>,
    origin: Origin,
    Json(body): Json<SetUp>,
) -> Result<Reply<AccountView>, Problem> {
    app.limiters.register(origin.address())?;
    password::check_rule(&body.password).map_err(|why| Problem::invalid("password", why))?;
    check_token(&app, &body.token).await?;
    let hash = app.passwords.hash(body.password).await?;
    let mut tx = app.db.begin().await?;
    if !setup::spend(&mut tx, app.clock.now_ms()).await? {
        return Err(used());
    }
    let new =
        NewAccount { id: AccountId::new(), email: body.email, name: body.name, hash, role: "administrator" };
    let row = insert(&app, &mut tx, new).await?;
    tx.commit().await?;
    first_start::forget(&app.config.data_dir);
    Ok(Reply::created("/v1/account".to_owned(), AccountView::from(row)))
}

async fn check_token(app: &App, presented: &Secret) -> Result<(), Problem> {
    let mut tx = app.db.read().await?;
    match setup::get(&mut tx).await? {
        Some(row) if row.used_at.is_some() => Err(used()),
        Some(row) if row.token_hash == token::hash(presented.expose().trim()) => Ok(()),
        _ => Err(Problem::invalid("token", "is not the setup token that the first start printed")),
    }
}

fn used() -> Problem {
    Problem::new(StatusCode::GONE, "setup_done", "the setup token has been used: there is an administrator")
}
