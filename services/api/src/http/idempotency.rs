//! `Idempotency-Key`: of equal POSTs under one key, one takes effect, and all get its answer.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{FromRequestParts as _, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{
    HeaderName, HeaderValue, Method, StatusCode,
    header::{CONTENT_TYPE, ETAG, LOCATION},
    request::Parts,
};
use http_body_util::BodyExt as _;
use paastech_db::DbError;
use sha2::{Digest as _, Sha256};

use super::{extract::read_body, problem::Problem};
use crate::{
    app::App,
    auth::Caller,
    store::idempotency::{self, Answer, Claim, Row},
};

const HEADER: &str = "idempotency-key";
/// How long an answer is kept.
const KEPT_MS: i64 = 24 * 3600 * 1000;
/// After so long, a request that never ended is taken for dead: longer than any handler takes.
const IN_FLIGHT_MS: i64 = 15 * 60_000;
/// How often it is tried to keep an answer, and how long is waited in between.
const KEEP_TRIES: u32 = 5;
const KEEP_PAUSE: Duration = Duration::from_millis(200);
/// How long an equal request waits for the first one's answer.
const WAIT: Duration = Duration::from_secs(15);
/// Whose answers hold credentials, or who asks is not known: the header means nothing there.
const EXEMPT: [&str; 5] =
    ["/v1/setup", "/v1/accounts", "/v1/sessions", "/v1/sessions/refresh", "/v1/invitations"];
/// What of a head is kept.
const KEPT_HEADERS: [HeaderName; 3] = [CONTENT_TYPE, ETAG, LOCATION];

/// Applies to POSTs with the header, but for the exempt ones.
pub(crate) async fn layer(State(app): State<App>, request: Request, next: Next) -> Response {
    let applies = request.method() == Method::POST
        && request.headers().contains_key(HEADER)
        && !EXEMPT.contains(&request.uri().path());
    if !applies {
        return next.run(request).await;
    }
    keyed(&app, request, next).await.unwrap_or_else(|problem| problem.into_response())
}

async fn keyed(app: &App, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let key = key(&parts)?;
    let caller = Caller::from_request_parts(&mut parts, app).await?;
    let body = read_body(body).await?;
    let route = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let digest = Sha256::new().chain_update(&route).chain_update([0]).chain_update(&body).finalize();
    let claim = Claim { account: caller.account, key, route, request_hash: hex::encode(digest) };
    if let Some(kept) = claim_or_answer(app, &claim).await? {
        return replay(kept);
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    Ok(keep(app, &claim, response).await)
}

fn key(parts: &Parts) -> Result<String, Problem> {
    let key = parts.headers.get(HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(key.to_owned());
    }
    let detail = "Idempotency-Key: must be 1 to 255 visible ASCII characters";
    Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", detail))
}

/// None: the key is ours, go on. Otherwise the answer that was given.
async fn claim_or_answer(app: &App, claim: &Claim) -> Result<Option<Row>, Problem> {
    let began = Instant::now();
    loop {
        let now = app.clock.now_ms();
        let mut tx = app.db.read().await?;
        let held = idempotency::get(&mut tx, claim.account, &claim.key).await?;
        drop(tx);
        match held.filter(|row| row.expires_at > now) {
            Some(row) if row.route != claim.route || row.request_hash != claim.request_hash => {
                let detail = "this Idempotency-Key was used for another request";
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                return Err(Problem::new(status, "idempotency_key_reused", detail));
            }
            Some(row) if row.status.is_some() => return Ok(Some(row)),
            Some(_) if began.elapsed() > WAIT => {
                let detail = "an equal request is still under way";
                return Err(Problem::conflict("request_in_flight", detail).retry_after(2));
            }
            Some(_) => tokio::time::sleep(Duration::from_millis(25)).await,
            None => {
                let mut tx = app.db.begin().await?;
                let ours = idempotency::claim(&mut tx, claim, now, now + IN_FLIGHT_MS).await?;
                tx.commit().await?;
                if ours {
                    return Ok(None);
                }
            }
        }
    }
}

/// What failed for a passing reason is not kept: the request may be made again.
async fn keep(app: &App, claim: &Claim, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    // Whatever becomes of that, the request has had its effect, and whoever made it is told.
    for left in (0..KEEP_TRIES).rev() {
        match try_keep(app, claim, &parts, &body).await {
            Ok(()) => break,
            Err(error) if left == 0 => tracing::error!(%error, "the answer to a request cannot be kept"),
            Err(_) => tokio::time::sleep(KEEP_PAUSE).await,
        }
    }
    Response::from_parts(parts, Body::from(body))
}

async fn try_keep(
    app: &App,
    claim: &Claim,
    parts: &http::response::Parts,
    body: &[u8],
) -> Result<(), DbError> {
    let passing = parts.status.is_server_error() || parts.status == StatusCode::TOO_MANY_REQUESTS;
    let mut tx = app.db.begin().await?;
    match std::str::from_utf8(body) {
        Ok(text) if !passing => {
            let kept: BTreeMap<&str, &str> = KEPT_HEADERS
                .iter()
                .filter_map(|name| Some((name.as_str(), parts.headers.get(name)?.to_str().ok()?)))
                .collect();
            let headers = serde_json::to_string(&kept).unwrap_or_default();
            let answer = Answer { status: i64::from(parts.status.as_u16()), headers: &headers, body: text };
            idempotency::complete(&mut tx, claim, answer, app.clock.now_ms() + KEPT_MS).await?;
        }
        _ => idempotency::release(&mut tx, claim).await?,
    }
    tx.commit().await?;
    Ok(())
}

fn replay(row: Row) -> Result<Response, Problem> {
    let broken = || Problem::internal("a kept answer cannot be read");
    let status = row.status.and_then(|status| u16::try_from(status).ok()).ok_or_else(broken)?;
    let headers: BTreeMap<String, String> = serde_json::from_str(&row.headers).map_err(|_| broken())?;
    let mut response = (StatusCode::from_u16(status).map_err(|_| broken())?, row.body).into_response();
    response.headers_mut().remove(CONTENT_TYPE);
    for (name, value) in headers {
        let name = HeaderName::try_from(name).map_err(|_| broken())?;
        response.headers_mut().insert(name, HeaderValue::try_from(value).map_err(|_| broken())?);
    }
    Ok(response)
}
