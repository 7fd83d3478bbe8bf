//! The only way from a caller to a project's row: naming the permission that the caller must have there.

use std::marker::PhantomData;

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use paastech_db::Tx;
use paastech_types::{AccountId, Failure, Kind, ProjectId, Slug};

use super::{
    caller::Caller,
    permission::{Need, Permission, Permissions},
};
use crate::{
    app::App,
    error::Error,
    http::problem::Problem,
    store::{operation, project, role},
};

/// A project that the caller may see, and what they may do to it.
pub(crate) struct Seen {
    pub(crate) project: project::Row,
    permissions: Permissions,
}

impl Seen {
    /// Whether the caller may.
    pub(crate) fn allows(&self, permission: Permission) -> bool {
        self.permissions.allow(permission)
    }

    /// The project, if the caller may: who can see it is told what is missing.
    pub(crate) fn require(self, permission: Permission) -> Result<project::Row, Error> {
        if self.allows(permission) {
            return Ok(self.project);
        }
        Err(Failure::new(Kind::Forbidden, format!("needs the permission {}", permission.name())).into())
    }
}

/// Finds a living project by its id or by a slug of the account's own. Unknown, deleted and not the account's to see
/// are one answer.
pub(crate) async fn find(tx: &mut Tx, account: AccountId, reference: &str) -> Result<Option<Seen>, Error> {
    let row = match (reference.parse::<ProjectId>(), reference.parse::<Slug>()) {
        (Ok(id), _) => project::get(tx, id).await?,
        (_, Ok(slug)) => project::by_slug(tx, account, slug.as_str()).await?,
        _ => None,
    };
    match row {
        Some(row) if !row.is_deleted() => see(tx, account, row).await,
        _ => Ok(None),
    }
}

/// Finds a living project and checks one permission.
///
/// # Errors
/// NotFound when the account may not see it, Forbidden when it may but lacks the permission.
pub(crate) async fn authorize(
    tx: &mut Tx,
    account: AccountId,
    reference: &str,
    permission: Permission,
) -> Result<project::Row, Error> {
    find(tx, account, reference).await?.ok_or_else(no_project)?.require(permission)
}

/// Finds an operation whose project the account may see, deleted or not: a deletion can be followed to its end.
pub(crate) async fn operation(
    tx: &mut Tx,
    account: AccountId,
    id: &str,
) -> Result<(operation::Row, Seen), Error> {
    let unknown = || Error::from(Failure::new(Kind::NotFound, "no such operation"));
    let id = id.parse().map_err(|_| unknown())?;
    let row = operation::get(tx, id).await?.ok_or_else(unknown)?;
    let project = row.project_id.parse().map_err(|_| Error::Defect("an operation without project"))?;
    let project = project::get(tx, project).await?.ok_or_else(unknown)?;
    let seen = see(tx, account, project).await?.ok_or_else(unknown)?;
    Ok((row, seen))
}

async fn see(tx: &mut Tx, account: AccountId, project: project::Row) -> Result<Option<Seen>, Error> {
    let permissions = Permissions::new(role::permissions_in(tx, account, project.id).await?);
    Ok(permissions.allow(Permission::Read).then_some(Seen { project, permissions }))
}

fn no_project() -> Error {
    Failure::new(Kind::NotFound, "no such project").into()
}

/// The project in the path, for a caller who has the permission `P` there.
pub(crate) struct Authorized<P> {
    pub(crate) caller: Caller,
    pub(crate) seen: Seen,
    need: PhantomData<P>,
}

impl<P> std::ops::Deref for Authorized<P> {
    type Target = project::Row;
    fn deref(&self) -> &project::Row {
        &self.seen.project
    }
}

impl<P: Need> FromRequestParts<App> for Authorized<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let reference = path_part(parts, app, "project").await?;
        let mut tx = app.db.read().await?;
        let seen = find(&mut tx, caller.account, &reference).await?.ok_or_else(no_project)?;
        if !seen.allows(P::PERMISSION) {
            return Err(Problem::forbidden(P::PERMISSION.name()));
        }
        Ok(Self { caller, seen, need: PhantomData })
    }
}

/// The operation in the path, for a caller who has the permission `P` in its project.
pub(crate) struct AuthorizedOperation<P> {
    pub(crate) row: operation::Row,
    need: PhantomData<P>,
}

impl<P: Need> FromRequestParts<App> for AuthorizedOperation<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let id = path_part(parts, app, "operation").await?;
        let mut tx = app.db.read().await?;
        let (row, seen) = operation(&mut tx, caller.account, &id).await?;
        if !seen.allows(P::PERMISSION) {
            return Err(Problem::forbidden(P::PERMISSION.name()));
        }
        Ok(Self { row, need: PhantomData })
    }
}

async fn path_part(parts: &mut Parts, app: &App, name: &str) -> Result<String, Problem> {
    let path = RawPathParams::from_request_parts(parts, app).await.map_err(|_| Problem::not_found())?;
    let part = path.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
    part.ok_or_else(Problem::not_found)
}

/// A caller whose role in the installation has the permission `P`.
pub(crate) struct Privileged<P> {
    pub(crate) caller: Caller,
    need: PhantomData<P>,
}

impl<P: Need> FromRequestParts<App> for Privileged<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        if !caller.permissions.allow(P::PERMISSION) {
            return Err(Problem::forbidden(P::PERMISSION.name()));
        }
        Ok(Self { caller, need: PhantomData })
    }
}
