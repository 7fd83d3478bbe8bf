//! The registry's HTTP API, for what the engine has no call for: what there is, and its deletion.

use std::time::Duration;

use paastech_types::ProjectId;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header, redirect};
use serde::Deserialize;

use crate::{config::RegistryConfig, error::Error};

const TIMEOUT: Duration = Duration::from_secs(30);
/// What an engine pushes, and what other tools make of it.
const MANIFESTS: &str = "application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
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

impl Http {
    pub(super) fn new(config: &RegistryConfig) -> anyhow::Result<Self> {
        reqwest::Url::parse(&config.url).map_err(|error| anyhow::anyhow!("url: {error}"))?;
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

    fn url(&self, path: &str) -> String {
        format!("{}/v2/{path}", self.config.url.trim_end_matches('/'))
    }
}

impl Repository<'_> {
    /// Its tags; none when it has never been pushed to.
    pub(super) async fn tags(&self) -> Result<Vec<String>, Error> {
        let answer = self.call(Method::GET, "tags/list").await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(Vec::new()),
            StatusCode::OK => {
                let tags: Tags = answer.json().await.map_err(|_| Error::away())?;
                Ok(tags.tags.unwrap_or_default())
            }
            status => Err(refused(status, "list of tags")),
        }
    }

    /// The digest of a tag's manifest, or of this very one; `None` when it is not there.
    pub(super) async fn digest(&self, tag: &str) -> Result<Option<String>, Error> {
        let answer = self.call(Method::HEAD, &format!("manifests/{tag}")).await?;
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
        match self.call(Method::DELETE, &format!("manifests/{digest}")).await?.status() {
            StatusCode::ACCEPTED | StatusCode::OK | StatusCode::NOT_FOUND => Ok(()),
            status => Err(refused(status, "deletion")),
        }
    }

    async fn call(&self, method: Method, path: &str) -> Result<Response, Error> {
        let url = self.http.url(&format!("{}/{path}", self.path));
        let request = self.http.client.request(method, url).header(header::ACCEPT, MANIFESTS);
        let answer = self.as_us(request).send().await.map_err(|error| {
            tracing::warn!(error = %error.without_url(), "the registry does not answer");
            Error::away()
        })?;
        if answer.status().is_server_error() { Err(Error::away()) } else { Ok(answer) }
    }

    fn as_us(&self, request: RequestBuilder) -> RequestBuilder {
        let config = &self.http.config;
        match (self.token, config.username.as_str()) {
            ("", "") => request,
            ("", username) => request.basic_auth(username, Some(config.password.expose())),
            (token, _) => request.bearer_auth(token),
        }
    }
}

fn refused(status: StatusCode, what: &str) -> Error {
    Error::Broken(format!("the registry refuses a {what}: {status}"))
}
