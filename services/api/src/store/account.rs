//! Accounts.

use paastech_db::Tx;
use paastech_types::{AccountId, RoleId};

use super::{Flag, Page, Result};

/// A row of `account`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Row {
    #[sqlx(try_from = "String")]
    pub(crate) id: AccountId,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) password_hash: String,
    #[sqlx(try_from = "String")]
    pub(crate) role_id: RoleId,
    /// The name of its installation role.
    pub(crate) role: String,
    #[sqlx(try_from = "i64")]
    pub(crate) trusted: Flag,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) version: i64,
}

/// What a new account is made of; the e-mail in lower case.
pub(crate) struct New<'a> {
    pub(crate) id: AccountId,
    pub(crate) email: &'a str,
    pub(crate) name: &'a str,
    pub(crate) password_hash: &'a str,
    pub(crate) role_id: RoleId,
    pub(crate) now: i64,
}

/// Adds an account; a taken e-mail is `Duplicate`.
pub(crate) async fn insert(tx: &mut Tx, new: New<'_>) -> Result<()> {
    sqlx::query(
        "INSERT INTO account (id, email, name, password_hash, role_id, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $6)",
    )
    .bind(new.id.to_string())
    .bind(new.email)
    .bind(new.name)
    .bind(new.password_hash)
    .bind(new.role_id.to_string())
    .bind(new.now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The account with this id.
pub(crate) async fn get(tx: &mut Tx, id: AccountId) -> Result<Option<Row>> {
    let row = sqlx::query_as(
        "SELECT a.*, r.name AS role FROM account a JOIN role r ON r.id = a.role_id WHERE a.id = $1",
    );
    Ok(row.bind(id.to_string()).fetch_optional(&mut **tx).await?)
}

/// The account with this e-mail, in lower case.
pub(crate) async fn by_email(tx: &mut Tx, email: &str) -> Result<Option<Row>> {
    let row = sqlx::query_as(
        "SELECT a.*, r.name AS role FROM account a JOIN role r ON r.id = a.role_id WHERE a.email = $1",
    );
    Ok(row.bind(email).fetch_optional(&mut **tx).await?)
}

/// The oldest account with this role.
pub(crate) async fn first_with_role(tx: &mut Tx, role: &str) -> Result<Option<Row>> {
    let row = sqlx::query_as(
        "SELECT a.*, r.name AS role FROM account a JOIN role r ON r.id = a.role_id WHERE r.name = $1 \
         ORDER BY a.id LIMIT 1",
    );
    Ok(row.bind(role).fetch_optional(&mut **tx).await?)
}

/// Accounts in the order they were made; `email`, in lower case, empty = all of them.
pub(crate) async fn list(tx: &mut Tx, email: &str, page: &Page) -> Result<Vec<Row>> {
    let rows = sqlx::query_as(
        "SELECT a.*, r.name AS role FROM account a JOIN role r ON r.id = a.role_id \
         WHERE a.id > $1 AND ($2 = '' OR a.email = $2) ORDER BY a.id LIMIT $3",
    );
    Ok(rows.bind(&page.after).bind(email).bind(page.limit).fetch_all(&mut **tx).await?)
}

/// Sets another password hash.
pub(crate) async fn set_password(tx: &mut Tx, id: AccountId, hash: &str, now: i64) -> Result<()> {
    sqlx::query(
        "UPDATE account SET password_hash = $2, updated_at = $3, version = version + 1 WHERE id = $1",
    )
    .bind(id.to_string())
    .bind(hash)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Marks an account as trusted, or not: whether its Dockerfiles may be built.
pub(crate) async fn set_trusted(tx: &mut Tx, id: AccountId, trusted: Flag, now: i64) -> Result<()> {
    sqlx::query("UPDATE account SET trusted = $2, updated_at = $3, version = version + 1 WHERE id = $1")
        .bind(id.to_string())
        .bind(i64::from(trusted))
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
