//! Who calls: an access token's account, or an administrator at the Unix socket.

use std::net::{IpAddr, Ipv4Addr};

use axum::extract::FromRequestParts;
use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use paastech_types::{AccountId, SessionId};

use super::permission::Permissions;
use crate::{
    app::App,
    http::problem::Problem,
    store::{account, role, session},
};

/// Where a connection comes from: an extension that the listener sets on each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Somebody at this address.
    Address(IpAddr),
    /// Root, or this process's user, at the Unix socket.
    AdminSocket,
}

impl Origin {
    /// Somebody at this address; one of IPv4 is the same however it is written.
    pub(crate) fn at(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }

    /// Of this request. What no listener of ours has marked is treated as unknown.
    pub(crate) fn of(parts: &Parts) -> Self {
        parts.extensions.get().copied().unwrap_or(Self::Address(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
    }

    /// Whom the proxy in front has it from: the last address, which it wrote itself.
    pub(crate) fn told(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
        Some(Self::at(text.rsplit(',').next()?.trim().parse().ok()?))
    }

    /// The address that limits count by.
    pub(crate) fn address(self) -> IpAddr {
        match self {
            Self::Address(address) => address,
            Self::AdminSocket => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }
}

impl FromRequestParts<App> for Origin {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts))
    }
}

/// An account that is known to have made the request.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) account: AccountId,
    /// None at the Unix socket.
    pub(crate) session: Option<SessionId>,
    /// Of its role in the installation.
    pub(crate) permissions: Permissions,
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    /// Found once per request; rate limits count here.
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if let Some(caller) = parts.extensions.get::<Self>() {
            return Ok(caller.clone());
        }
        let origin = Origin::of(parts);
        let caller = match (bearer(parts), origin) {
            (Some(token), _) => by_token(app, token).await,
            (None, Origin::AdminSocket) => at_the_socket(app).await,
            (None, Origin::Address(_)) => Err(Problem::unauthenticated("an access token is needed")),
        };
        let caller = match caller {
            Ok(caller) => caller,
            Err(problem) => {
                app.limiters.anonymous(origin.address())?;
                return Err(problem);
            }
        };
        app.limiters.account(caller.account)?;
        parts.extensions.insert(caller.clone());
        Ok(caller)
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    let header = parts.headers.get(AUTHORIZATION)?;
    // A header that is no bearer token is one that no key signed.
    let text = header.to_str().unwrap_or_default();
    Some(match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => "",
    })
}

async fn by_token(app: &App, token: &str) -> Result<Caller, Problem> {
    let refused = || Problem::unauthenticated("the access token is not valid, or no longer");
    let now = app.clock.now_ms();
    let claims = app.signing_key.key().check(token, now).ok_or_else(refused)?;
    let mut tx = app.db.read().await?;
    let session = session::get(&mut tx, claims.sid).await?;
    if !session.is_some_and(|session| session.account_id == claims.sub && session.is_live(now)) {
        return Err(refused());
    }
    let account = account::get(&mut tx, claims.sub).await?.ok_or_else(refused)?;
    let permissions = Permissions::new(role::permissions(&mut tx, account.role_id).await?);
    Ok(Caller { account: account.id, session: Some(claims.sid), permissions })
}

/// Acts as the first administrator, so that what it makes has an owner.
async fn at_the_socket(app: &App) -> Result<Caller, Problem> {
    let mut tx = app.db.read().await?;
    let account = account::first_with_role(&mut tx, "administrator").await?.ok_or_else(|| {
        Problem::unauthenticated("there is no administrator yet: make the first with the setup token")
    })?;
    let permissions = Permissions::new(role::permissions(&mut tx, account.role_id).await?);
    Ok(Caller { account: account.id, session: None, permissions })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv4_is_the_same_however_it_is_written() {
        let plain = Origin::Address(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
        let mapped = IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        assert_eq!(Origin::at(mapped), plain);
        for written in ["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.9, ::ffff:10.0.0.1"] {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", written.parse().expect("a value"));
            assert_eq!(Origin::told(&headers), Some(plain), "{written}");
        }
    }
}
