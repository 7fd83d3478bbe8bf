//! The HTTP API, called as somebody.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use reqwest::{Client, Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};

/// The password of every account here.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// An answer, its body read as JSON where it is some.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of an answer that is a success.
    pub(crate) fn ok(self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, self.body);
        self.body
    }

    /// The text of a problem.
    pub(crate) fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }
}

/// The API, and who calls it.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    client: Client,
    token: Option<String>,
}

impl Api {
    /// Nobody known.
    pub(crate) fn new(address: SocketAddr) -> Result<Self> {
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
        Ok(Self { address, client, token: None })
    }

    /// One call; an error only when there is no answer.
    pub(crate) async fn try_call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer> {
        let mut request = self.client.request(method, format!("http://{}{path}", self.address));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await?;
        Ok(Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
    }

    /// One call that is answered.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.try_call(method, path, body).await.expect("the API answers")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None).await
    }

    /// The same API for whoever has this address.
    pub(crate) async fn log_in(&self, email: &str) -> Self {
        let session = self.post("/v1/sessions", json!({ "email": email, "password": PASSWORD })).await.ok();
        let token = session["access_token"].as_str().expect("a log-in gives a token").to_owned();
        Self { token: Some(token), ..self.clone() }
    }
}
