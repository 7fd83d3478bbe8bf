//! `/v1/ssh-keys`.

use axum::extract::State;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::StatusCode;
use paastech_db::DbError;
use paastech_types::{DisplayName, KeyId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use ssh_key::{Algorithm, HashAlg, PublicKey, public::KeyData};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    extract::{Json, Path, Query},
    problem::Problem,
    reply::{Items, PageQuery, Reply},
};
use crate::{app::App, auth::Caller, store::ssh_key as keys};

/// The smallest RSA key that is taken.
const MIN_RSA_BITS: u32 = 3072;

/// A public key with which one may push.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyView {
    id: Uuid,
    name: String,
    algorithm: String,
    /// As `ssh-keygen -l` shows it.
    #[schema(example = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU")]
    fingerprint: String,
    created_at: i64,
    last_used_at: Option<i64>,
}

impl From<keys::Row> for KeyView {
    fn from(row: keys::Row) -> Self {
        let digest = hex::decode(&row.fingerprint).unwrap_or_default();
        let fingerprint = BASE64_STANDARD.encode(digest);
        Self {
            id: row.id.uuid(),
            name: row.name,
            algorithm: row.algorithm,
            fingerprint: format!("SHA256:{}", fingerprint.trim_end_matches('=')),
            created_at: row.created_at,
            last_used_at: row.last_used_at,
        }
    }
}

/// A key to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    #[schema(value_type = String, min_length = 1, max_length = 100)]
    name: DisplayName,
    /// One line as in `id_ed25519.pub`.
    #[schema(max_length = 16384)]
    public_key: String,
}

/// A key in its wire form.
struct Parsed {
    algorithm: String,
    blob: Vec<u8>,
}

/// Takes Ed25519, ECDSA, security keys, and RSA of 3072 bits or more.
fn parse(text: &str) -> Result<Parsed, &'static str> {
    let (line, malformed) = (text.trim(), "is not a public key in OpenSSH's one-line form");
    if line.contains(['\n', '\r']) {
        return Err(malformed);
    }
    let key = PublicKey::from_openssh(line).map_err(|_| malformed)?;
    match key.algorithm() {
        Algorithm::Dsa => return Err("is a DSA key, which is too weak: use Ed25519"),
        Algorithm::Other(_) => return Err("is of a kind that is not supported: use Ed25519"),
        _ => {}
    }
    if let KeyData::Rsa(rsa) = key.key_data()
        && rsa.key_size() < MIN_RSA_BITS
    {
        return Err("is an RSA key of fewer than 3072 bits: use Ed25519, or a longer RSA key");
    }
    let blob = key.to_bytes().map_err(|_| "cannot be read")?;
    debug_assert_eq!(
        key.fingerprint(HashAlg::Sha256).as_bytes(),
        Sha256::digest(&blob).as_slice(),
        "the fingerprint is the wire form's digest"
    );
    Ok(Parsed { algorithm: key.algorithm().to_string(), blob })
}

/// Add a key
#[utoipa::path(post, path = "/v1/ssh-keys", tag = "ssh-keys",
    responses((status = 201, body = KeyView), (status = 409, description = "The key is known already")))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<NewKey>,
) -> Result<Reply<KeyView>, Problem> {
    let parsed = parse(&body.public_key).map_err(|why| Problem::invalid("public_key", why))?;
    let row = keys::Row {
        id: KeyId::new(),
        account_id: caller.account,
        name: body.name.into(),
        algorithm: parsed.algorithm,
        fingerprint: hex::encode(Sha256::digest(&parsed.blob)),
        blob: BASE64_STANDARD.encode(&parsed.blob),
        created_at: app.clock.now_ms(),
        last_used_at: None,
    };
    let mut tx = app.db.begin().await?;
    if keys::count(&mut tx, caller.account).await? >= i64::from(app.config.quotas.max_ssh_keys) {
        return Err(Problem::conflict("too_many_keys", "the account has as many keys as it may have"));
    }
    keys::insert(&mut tx, &row).await.map_err(|error| match error {
        DbError::Duplicate(_) => {
            Problem::conflict("key_known", "this key belongs to an account already").field("public_key")
        }
        other => other.into(),
    })?;
    tx.commit().await?;
    Ok(Reply::created(format!("/v1/ssh-keys/{}", row.id), KeyView::from(row)))
}

/// List my keys
#[utoipa::path(get, path = "/v1/ssh-keys", tag = "ssh-keys", params(PageQuery),
    responses((status = 200, body = Items<KeyView>)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Reply<Items<KeyView>>, Problem> {
    let page = query.page()?;
    let mut tx = app.db.read().await?;
    let rows = keys::list(&mut tx, caller.account, &page).await?;
    Ok(Reply::ok(Items::new(&page, rows, |row| row.id.to_string(), KeyView::from)))
}

/// Read one of my keys
#[utoipa::path(get, path = "/v1/ssh-keys/{key}", tag = "ssh-keys", params(("key" = Uuid, Path)),
    responses((status = 200, body = KeyView)))]
pub(crate) async fn read(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<KeyId>,
) -> Result<Reply<KeyView>, Problem> {
    let mut tx = app.db.read().await?;
    let row = keys::get(&mut tx, caller.account, id).await?.ok_or_else(Problem::not_found)?;
    Ok(Reply::ok(KeyView::from(row)))
}

/// Remove one of my keys
#[utoipa::path(delete, path = "/v1/ssh-keys/{key}", tag = "ssh-keys", params(("key" = Uuid, Path)),
    responses((status = 204)))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<KeyId>,
) -> Result<StatusCode, Problem> {
    let mut tx = app.db.begin().await?;
    if !keys::delete(&mut tx, caller.account, id).await? {
        return Err(Problem::not_found());
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
