//! The demo account: the installation's first administrator, made with the one-time setup token.

use std::{
    fs::{self, File},
    io::Write,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, Result, bail};
use http::{
    Method,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    http::{self as client, Answer, Server},
    layout::Layout,
    progress::Step,
    random,
};

/// An account that is logged in.
pub(crate) struct Account {
    /// Its address.
    pub(crate) email: String,
    server: Server,
    token: String,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    email: String,
    password: String,
}

#[derive(Deserialize)]
struct Session {
    access_token: String,
}

impl Account {
    /// What an `Authorization` header says.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// One call to the API as this account.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer> {
        send(&self.server, method, path, body, Some(&self.token)).await
    }
}

/// Makes the account at the first run, and logs in.
pub(crate) async fn ensure(layout: &Layout, api: SocketAddr) -> Result<Account> {
    let step = Step::new("demo account");
    let server = Server::Tcp(api);
    let saved = match read_saved(&layout.account_file())? {
        Some(saved) => saved,
        None => Saved { email: "demo@example.org".to_owned(), password: random::hex(16)? },
    };
    if let Ok(token) = fs::read_to_string(layout.data.join("setup-token")) {
        // Written first: a crash between the two leaves a password that is known.
        write_saved(&layout.account_file(), &saved)?;
        let body = json!({
            "token": token.trim(), "email": saved.email, "name": "Demo", "password": saved.password,
        });
        let answer = send(&server, Method::POST, "/v1/setup", Some(body), None).await?;
        answer.json::<Value>().context("the first administrator could not be made")?;
    }
    let body = json!({ "email": saved.email, "password": saved.password });
    let answer = send(&server, Method::POST, "/v1/sessions", Some(body), None).await?;
    if answer.status.is_client_error() {
        bail!(
            "{} was set up by somebody else, and {} does not open it: give `up` another --data DIR",
            layout.data.display(),
            layout.account_file().display(),
        );
    }
    let session: Session = answer.json().context("the demo account cannot log in")?;
    step.done(&saved.email);
    Ok(Account { email: saved.email, server, token: session.access_token })
}

async fn send(
    server: &Server,
    method: Method,
    path: &str,
    body: Option<Value>,
    token: Option<&str>,
) -> Result<Answer> {
    let mut request = client::request(method, path);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = match body {
        Some(value) => {
            request = request.header(CONTENT_TYPE, "application/json");
            client::full(value.to_string())
        }
        None => client::empty(),
    };
    server.call(request.body(body)?).await
}

fn read_saved(file: &Path) -> Result<Option<Saved>> {
    match fs::read(file) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text).with_context(|| file.display().to_string())?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| file.display().to_string()),
    }
}

fn write_saved(file: &Path, saved: &Saved) -> Result<()> {
    let mut open = File::options().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    Ok(open.write_all(&serde_json::to_vec_pretty(saved)?)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_saved_account_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("account.json");
        assert!(read_saved(&file).unwrap().is_none());
        write_saved(&file, &Saved { email: "a@b".to_owned(), password: "p".to_owned() }).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_saved(&file).unwrap().unwrap().password, "p");
    }
}
