//! Log-ins: a session, its access token, and refresh tokens of which each works once.

use paastech_db::Tx;
use paastech_types::{AccountId, SessionId};

use super::token;
use crate::{
    app::App,
    http::problem::Problem,
    store::{refresh_token, session},
};

const DAY_MS: i64 = 24 * 3600 * 1000;
/// A refresh token that is not used for so long is dead.
const IDLE_MS: i64 = 7 * DAY_MS;
/// A session lasts at most so long.
const SESSION_MS: i64 = 30 * DAY_MS;

/// What a client gets; neither token is stored.
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

/// Begins a session.
pub(crate) async fn begin(app: &App, tx: &mut Tx, account: AccountId) -> Result<Tokens, Problem> {
    let (id, now) = (SessionId::new(), app.clock.now_ms());
    session::insert(tx, id, account, now, now + SESSION_MS).await?;
    issue(app, tx, account, id).await
}

/// What a refresh token came to.
pub(crate) enum Refreshed {
    /// New tokens of the same session.
    New(AccountId, Tokens),
    /// It was used before: somebody has a copy, so the whole session has ended.
    Reused,
    /// Unknown, expired, or of a session that has ended.
    Refused,
}

/// Uses up a refresh token for new ones.
pub(crate) async fn refresh(app: &App, tx: &mut Tx, presented: &str) -> Result<Refreshed, Problem> {
    let (hash, now) = (token::hash(presented), app.clock.now_ms());
    let Some(row) = refresh_token::get(tx, &hash).await? else { return Ok(Refreshed::Refused) };
    let Some(session) = session::get(tx, row.session_id).await? else { return Ok(Refreshed::Refused) };
    if !session.is_live(now) || row.expires_at <= now {
        return Ok(Refreshed::Refused);
    }
    if !refresh_token::spend(tx, &hash, now).await? {
        session::revoke(tx, session.id, now).await?;
        tracing::warn!(account.id = %session.account_id, "a refresh token was used twice: its session has ended");
        return Ok(Refreshed::Reused);
    }
    Ok(Refreshed::New(session.account_id, issue(app, tx, session.account_id, session.id).await?))
}

async fn issue(app: &App, tx: &mut Tx, account: AccountId, id: SessionId) -> Result<Tokens, Problem> {
    let now = app.clock.now_ms();
    let refresh = token::opaque("pt_refresh");
    refresh_token::insert(tx, &token::hash(&refresh), id, now, now + IDLE_MS).await?;
    let access = app
        .signing_key
        .key()
        .issue(account, id, now)
        .map_err(|_| Problem::internal("a token cannot be signed"))?;
    Ok(Tokens { access, refresh })
}
