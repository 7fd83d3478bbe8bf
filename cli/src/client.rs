//! Calls to the API: authorisation with automatic refresh, retries of lost connections, errors.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use reqwest::{Method, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    api::LogIn,
    credentials::{Session, Store},
    error::{Error, Problem, Result},
    stream::Lines,
    target::{Target, is_loopback, localhost_name},
    when,
};

const TIMEOUT: Duration = Duration::from_secs(60);
const RETRY_AFTER: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];
const JSON: &str = "application/json";
const JSON_LINES: &str = "application/x-ndjson";

/// A client of one API.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    target: Target,
    store: Store,
}

/// One request, as often as it has to be sent.
#[derive(Debug)]
struct Call<'a> {
    method: Method,
    path: &'a str,
    body: Option<&'a Value>,
    accept: &'static str,
    /// Without a log-in, and without an idempotency key: what hands out credentials is never stored for a replay.
    anonymous: bool,
}

impl Client {
    pub(crate) fn new(target: Target, store: Store) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("paastech/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .tcp_keepalive(Duration::from_secs(30));
        if let Some(path) = target.socket() {
            builder = builder.unix_socket(path);
        } else if is_loopback(target.base()) {
            builder = builder.no_proxy();
            if let Some(name) = localhost_name(target.base()) {
                // Not every system's resolver knows these names; port 0 is the address's own.
                builder = builder.resolve_to_addrs(
                    &name,
                    &[(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()],
                );
            }
        }
        let http = builder.build().map_err(|error| Error::Failed(format!("cannot set up TLS: {error}")))?;
        Ok(Self { http, target, store })
    }

    /// The API that is called.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Where log-ins are kept.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The body of a GET.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, None).await
    }

    /// The body of the answer; null where there is none.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let call = Call { method, path, body, accept: JSON, anonymous: false };
        self.value(self.call(&call).await?).await
    }

    /// POST without a log-in: to get one.
    pub(crate) async fn post_anonymously(&self, path: &str, body: &Value) -> Result<Value> {
        let call = Call { method: Method::POST, path, body: Some(body), accept: JSON, anonymous: true };
        self.value(self.call(&call).await?).await
    }

    /// GET of what everybody may read.
    pub(crate) async fn get_anonymously(&self, path: &str) -> Result<Value> {
        let call = Call { method: Method::GET, path, body: None, accept: JSON, anonymous: true };
        self.value(self.call(&call).await?).await
    }

    /// All pages of a collection as one object: `{"items": […]}`.
    pub(crate) async fn list(&self, path: &str) -> Result<Value> {
        let mut items = Vec::new();
        let mut page = path.to_owned();
        loop {
            let mut body = self.get(&page).await?;
            match body.get_mut("items") {
                Some(Value::Array(found)) => items.append(found),
                _ => return Err(self.unexpected("a list without items")),
            }
            let Some(cursor) = body.get("next_cursor").and_then(Value::as_str) else { break };
            let separator = if path.contains('?') { '&' } else { '?' };
            page = format!("{path}{separator}cursor={}", encode(cursor));
        }
        Ok(json!({ "items": items }))
    }

    /// The lines of a stream as they come.
    pub(crate) async fn stream(&self, path: &str) -> Result<Lines> {
        let call = Call { method: Method::GET, path, body: None, accept: JSON_LINES, anonymous: false };
        Ok(Lines::new(&self.target.to_string(), self.call(&call).await?))
    }

    /// A body as the type that a table needs.
    pub(crate) fn decode<T: DeserializeOwned>(&self, body: &Value) -> Result<T> {
        T::deserialize(body).map_err(|error| self.unexpected(&error.to_string()))
    }

    /// Keeps what a log-in answered, and makes this API the one that is meant when none is named.
    pub(crate) fn save_log_in(&self, email: &str, body: &Value) -> Result<()> {
        let session = self.session(email, body)?;
        self.store.update(|credentials| {
            credentials.current = Some(self.target.base().to_owned());
            credentials.api.insert(self.target.base().to_owned(), session);
        })
    }

    fn session(&self, email: &str, body: &Value) -> Result<Session> {
        let answer: LogIn = self.decode(body)?;
        Ok(Session {
            email: email.to_owned(),
            access_token: answer.access_token,
            refresh_token: answer.refresh_token,
            expires_at: when::now() + answer.expires_in * 1000,
        })
    }

    async fn call(&self, call: &Call<'_>) -> Result<Response> {
        let key = Uuid::new_v4().to_string();
        if call.anonymous || self.target.socket().is_some() {
            return self.checked(self.exchange(call, None, &key).await?).await;
        }
        let mut session = self.saved_session()?;
        if session.is_stale() {
            session = self.refresh(&session.access_token).await?;
        }
        let mut response = self.exchange(call, Some(&session.access_token), &key).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            session = self.refresh(&session.access_token).await?;
            response = self.exchange(call, Some(&session.access_token), &key).await?;
        }
        self.checked(response).await
    }

    fn saved_session(&self) -> Result<Session> {
        let saved = self.store.load()?;
        saved.api.get(self.target.base()).cloned().ok_or_else(|| self.not_logged_in())
    }

    /// A session newer than the given access token. A refresh token works once, so one command at a time
    /// refreshes: whoever waited for the lock finds the tokens that the other one got.
    async fn refresh(&self, stale: &str) -> Result<Session> {
        let locked = self.store.lock()?;
        let mut saved = self.store.load()?;
        let session = saved.api.get(self.target.base()).cloned().ok_or_else(|| self.not_logged_in())?;
        if session.access_token != stale && !session.is_stale() {
            return Ok(session);
        }
        let body = json!({ "refresh_token": session.refresh_token });
        match self.post_refresh(&body).await {
            Ok(answer) => {
                let session = self.session(&session.email, &answer)?;
                saved.api.insert(self.target.base().to_owned(), session.clone());
                locked.save(&saved)?;
                Ok(session)
            }
            Err(Error::Problem(problem)) if matches!(problem.status, 400 | 401 | 403 | 422) => {
                saved.api.remove(self.target.base());
                locked.save(&saved)?;
                Err(self.not_logged_in())
            }
            Err(error) => Err(error),
        }
    }

    async fn post_refresh(&self, body: &Value) -> Result<Value> {
        let path = "/v1/sessions/refresh";
        let call = Call { method: Method::POST, path, body: Some(body), accept: JSON, anonymous: true };
        let response = self.exchange(&call, None, "").await?;
        self.value(self.checked(response).await?).await
    }

    /// Sends the request, again if the connection failed and doing it twice cannot do it twice.
    async fn exchange(&self, call: &Call<'_>, token: Option<&str>, key: &str) -> Result<Response> {
        let mut waits = RETRY_AFTER.into_iter();
        loop {
            let error = match self.request(call, token, key).send().await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let may_repeat = error.is_connect() || (call.is_repeatable() && !error.is_timeout());
            match waits.next().filter(|_| may_repeat) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(self.unreachable(&error)),
            }
        }
    }

    fn request(&self, call: &Call<'_>, token: Option<&str>, key: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{}", self.target.base(), call.path);
        let mut request = self.http.request(call.method.clone(), url).header(header::ACCEPT, call.accept);
        if call.accept == JSON {
            request = request.timeout(TIMEOUT);
        }
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if call.method == Method::POST && !call.anonymous {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = call.body {
            request = request.json(body);
        }
        request
    }

    async fn checked(&self, response: Response) -> Result<Response> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let path = response.url().path().to_owned();
        let text = response.text().await.unwrap_or_default();
        let mut problem = serde_json::from_str::<Problem>(&text).unwrap_or_else(|_| Problem {
            status: 0,
            code: String::new(),
            title: status.canonical_reason().unwrap_or("unknown status").to_owned(),
            detail: format!("{} answered {status}", self.target),
            field: None,
            path: String::new(),
        });
        problem.status = status.as_u16();
        problem.path = path;
        Err(Error::Problem(Box::new(problem)))
    }

    async fn value(&self, response: Response) -> Result<Value> {
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|_| self.unexpected("not JSON"))
    }

    fn not_logged_in(&self) -> Error {
        Error::NotLoggedIn { api: self.target.to_string() }
    }

    fn unexpected(&self, reason: &str) -> Error {
        Error::Unexpected { api: self.target.to_string(), reason: reason.to_owned() }
    }

    /// The innermost cause is what a person can act on: "connection refused", "certificate expired".
    fn unreachable(&self, error: &reqwest::Error) -> Error {
        let mut reason: &dyn std::error::Error = error;
        while let Some(source) = reason.source() {
            reason = source;
        }
        let reason = if error.is_timeout() { "it took too long".to_owned() } else { reason.to_string() };
        Error::Unreachable { api: self.target.to_string(), reason }
    }
}

impl Call<'_> {
    fn is_repeatable(&self) -> bool {
        match self.method {
            Method::GET => true,
            Method::POST => !self.anonymous,
            _ => false,
        }
    }
}

/// A text as one value of a query.
pub(crate) fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
