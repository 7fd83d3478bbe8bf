//! The registry's HTTP API, for what the engine has no call for: what there is, and its deletion.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use paastech_types::ProjectId;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, header, redirect};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{config::RegistryConfig, error::Error};

const TIMEOUT: Duration = Duration::from_secs(30);
/// What an engine pushes, and what other tools make of it.
const MANIFESTS: &str = "application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
/// Of a list; some registries have a hundred entries on each.
const MAX_PAGES: usize = 1000;
const DIGEST: &str = "docker-content-digest";

/// The API, as whoever we are there.
pub(super) struct Http {
    client: Client,
    config: RegistryConfig,
}

/// One project's repository, opened by a token or by our own name.
pub(super) struct Repository<'a> {
    http: &'a Http,
    path: String,
    token: &'a str,
}

#[derive(Deserialize)]
struct Tags {
    /// Null in a repository that all manifests were deleted from.
    tags: Option<Vec<String>>,
}

/// Either name has been in use.
#[derive(Deserialize)]
struct Issued {
    token: Option<String>,
    access_token: Option<String>,
}

impl Http {
    pub(super) fn new(config: &RegistryConfig) -> anyhow::Result<Self> {
        let url = Url::parse(&config.url).context("url")?;
        ensure!(["http", "https"].contains(&url.scheme()), "url: begins with http:// or https://");
        let client = Client::builder().timeout(TIMEOUT).redirect(redirect::Policy::none()).build()?;
        Ok(Self { client, config: config.clone() })
    }

    /// Whether anything of its kind answers there.
    pub(super) async fn answers(&self) -> bool {
        let answer = self.client.get(self.url("")).send().await;
        answer.is_ok_and(|answer| !answer.status().is_server_error())
    }

    pub(super) fn repository<'a>(&'a self, project: ProjectId, token: &'a str) -> Repository<'a> {
        Repository { http: self, path: paastech_registry::repository(&self.config.prefix, project), token }
    }

    fn as_us(&self, request: RequestBuilder) -> RequestBuilder {
        match self.config.username.as_str() {
            "" => request,
            username => request.basic_auth(username, Some(self.config.password.expose())),
        }
    }

    /// A token for all that we do in a repository, from whom the registry names.
    async fn token(&self, realm: &str, service: &str, repository: &str) -> Result<String, Error> {
        let scope = format!("repository:{repository}:pull,push,delete");
        let request = self.client.get(realm).query(&[("service", service), ("scope", &scope)]);
        let answer = answer(self.as_us(request)).await?;
        if answer.status() != StatusCode::OK {
            return Err(refused(answer.status(), "token"));
        }
        let issued: Issued = read(answer, "token").await?;
        issued.token.or(issued.access_token).ok_or_else(|| unreadable("token"))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v2/{path}", self.config.url.trim_end_matches('/'))
    }
}

impl Repository<'_> {
    /// Its tags; none when it has never been pushed to.
    pub(super) async fn tags(&self) -> Result<Vec<String>, Error> {
        let (mut tags, mut url) = (Vec::new(), self.url("tags/list"));
        for _ in 0..MAX_PAGES {
            let answer = self.call(Method::GET, &url).await?;
            match answer.status() {
                StatusCode::NOT_FOUND => return Ok(tags),
                StatusCode::OK => {}
                status => return Err(refused(status, "list of tags")),
            }
            let next = next(&answer)?;
            let page: Tags = read(answer, "list of tags").await?;
            tags.extend(page.tags.unwrap_or_default());
            match next {
                Some(next) => url = next.into(),
                None => return Ok(tags),
            }
        }
        Err(Error::Broken("the registry's list of tags does not end".to_owned()))
    }

    /// The digest of a tag's manifest, or of this very one; `None` when it is not there.
    pub(super) async fn digest(&self, tag: &str) -> Result<Option<String>, Error> {
        let answer = self.call(Method::HEAD, &self.url(&format!("manifests/{tag}"))).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => {
                let digest = answer.headers().get(DIGEST).and_then(|digest| digest.to_str().ok());
                digest
                    .map(|digest| Some(digest.to_owned()))
                    .ok_or_else(|| Error::Broken("the registry does not say a manifest's digest".to_owned()))
            }
            status => Err(refused(status, "manifest")),
        }
    }

    /// Deletes a manifest and its tags; absence is fine.
    pub(super) async fn delete(&self, digest: &str) -> Result<(), Error> {
        let url = self.url(&format!("manifests/{digest}"));
        match self.call(Method::DELETE, &url).await?.status() {
            StatusCode::ACCEPTED | StatusCode::OK | StatusCode::NOT_FOUND => Ok(()),
            status => Err(refused(status, "deletion")),
        }
    }

    fn url(&self, path: &str) -> String {
        self.http.url(&format!("{}/{path}", self.path))
    }

    async fn call(&self, method: Method, url: &str) -> Result<Response, Error> {
        let request = || self.http.client.request(method.clone(), url).header(header::ACCEPT, MANIFESTS);
        if !self.token.is_empty() {
            return answer(request().bearer_auth(self.token)).await;
        }
        let first = answer(self.http.as_us(request())).await?;
        match challenge(&first) {
            Some((realm, service)) if !self.http.config.username.is_empty() => {
                let token = self.http.token(&realm, &service, &self.path).await?;
                answer(request().bearer_auth(token)).await
            }
            _ => Ok(first),
        }
    }
}

async fn answer(request: RequestBuilder) -> Result<Response, Error> {
    let answer = request.send().await.map_err(|error| {
        tracing::warn!(error = %error.without_url(), "the registry does not answer");
        Error::away()
    })?;
    if answer.status().is_server_error() { Err(Error::away()) } else { Ok(answer) }
}

/// What an answer says; one that breaks off is none.
async fn read<T: DeserializeOwned>(answer: Response, what: &str) -> Result<T, Error> {
    let body = answer.bytes().await.map_err(|_| Error::away())?;
    serde_json::from_slice(&body).map_err(|_| unreadable(what))
}

/// Where a list goes on, `Link: <…>; rel="next"`. Who we are is told nobody else.
fn next(answer: &Response) -> Result<Option<Url>, Error> {
    let links = answer.headers().get_all(header::LINK).iter().filter_map(|links| links.to_str().ok());
    let target = links.flat_map(|links| links.split(',')).find_map(|link| {
        let (target, relation) = link.trim().strip_prefix('<')?.split_once('>')?;
        relation.replace('"', "").contains("rel=next").then_some(target)
    });
    let Some(target) = target else { return Ok(None) };
    match answer.url().join(target) {
        Ok(next) if next.origin() == answer.url().origin() => Ok(Some(next)),
        _ => Err(Error::Broken("the registry's list of tags goes on elsewhere".to_owned())),
    }
}

/// Where a token is had, and for which service: `Bearer realm="https://…",service="…"` with a 401.
fn challenge(answer: &Response) -> Option<(String, String)> {
    let header = answer.headers().get(header::WWW_AUTHENTICATE)?.to_str().ok()?;
    let fields = header.strip_prefix("Bearer ").filter(|_| answer.status() == StatusCode::UNAUTHORIZED)?;
    let field = |name: &str| {
        let value = fields.split_once(&format!("{name}=\""))?.1;
        Some(value.split_once('"')?.0.to_owned())
    };
    Some((field("realm")?, field("service").unwrap_or_default()))
}

fn refused(status: StatusCode, what: &str) -> Error {
    Error::Broken(format!("the registry refuses a {what}: {status}"))
}

fn unreadable(what: &str) -> Error {
    Error::Broken(format!("the registry's {what} cannot be read"))
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, net::SocketAddr};

    use axum::{Json, Router, extract::Query, response::AppendHeaders, routing::get};
    use paastech_runtime::Secret;

    use super::*;

    /// What a registry of these answers says when it is asked for the tags of a project.
    async fn tags(answers: impl FnOnce(SocketAddr) -> Router) -> Result<Vec<String>, Error> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let answers = answers(address);
        let serving = tokio::spawn(async move { axum::serve(listener, answers).await });
        let config = RegistryConfig {
            address: address.to_string(),
            prefix: "apps".to_owned(),
            url: format!("http://{address}/"),
            username: "us".to_owned(),
            password: Secret::new("a secret"),
        };
        let http = Http::new(&config).expect("made");
        let tags = http.repository(ProjectId::new(), "").tags().await;
        serving.abort();
        tags
    }

    const LIST: &str = "/v2/apps/{project}/tags/list";

    /// Pages of one tag each; this one says where the next is.
    async fn pages(
        next: impl Fn(u32) -> Option<String> + Clone + Send + Sync + 'static,
    ) -> Result<String, Error> {
        let page = move |Query(query): Query<HashMap<String, u32>>| async move {
            let last = query.get("last").copied().unwrap_or(0);
            let link = next(last).map(|next| (header::LINK, format!("<{next}>; rel=\"next\"")));
            (AppendHeaders(link), Json(serde_json::json!({ "tags": [(last + 1).to_string()] })))
        };
        Ok(tags(|_| Router::new().route(LIST, get(page))).await?.join(" "))
    }

    #[tokio::test]
    async fn a_list_is_read_to_its_end_but_not_for_ever_and_not_elsewhere() {
        let three = |last| (last < 2).then(|| format!("list?last={}&n=1", last + 1));
        assert_eq!(pages(three).await.expect("a list"), "1 2 3");
        let endless = pages(|_| Some("list?last=7".to_owned())).await.expect_err("no end");
        assert_eq!(endless.to_string(), "the registry's list of tags does not end");
        let elsewhere = pages(|_| Some("http://localhost:1/list".to_owned())).await.expect_err("elsewhere");
        assert_eq!(elsewhere.to_string(), "the registry's list of tags goes on elsewhere");
    }

    #[tokio::test]
    async fn an_answer_that_cannot_be_read_is_no_silence() {
        let list = tags(|_| Router::new().route(LIST, get("no list"))).await.expect_err("unreadable");
        assert_eq!(list.to_string(), "the registry's list of tags cannot be read");
        for (status, said) in [
            (StatusCode::OK, "the registry's token cannot be read"),
            (StatusCode::FORBIDDEN, "the registry refuses a token: 403 Forbidden"),
        ] {
            let token = tags(|address| {
                let challenge = format!("Bearer realm=\"http://{address}/token\",service=\"it\"");
                let sent = (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]);
                Router::new()
                    .route(LIST, get(|| async { sent }))
                    .route("/token", get(move || async move { (status, "{}") }))
            });
            assert_eq!(token.await.expect_err("none").to_string(), said);
        }
    }
}
