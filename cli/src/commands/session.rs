//! `login`, `logout`, `signup`.

use std::path::Path;

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    args::Global,
    context::Context,
    error::{Error, Result},
    output::Output,
    prompt,
    target::{Target, is_loopback},
};

/// Log in, and remember it for the commands that follow
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech login https://api.example.org --email me@example.org")]
pub(crate) struct Login {
    /// The API's address [default: the one of the last log-in]
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// The account's e-mail address [default: asks]
    #[arg(long)]
    email: Option<String>,
    /// Read the password from stdin instead of asking
    #[arg(long)]
    password_stdin: bool,
}

impl Login {
    pub(crate) async fn run(&self, global: &Global, output: Output) -> Result<()> {
        let context = open_at(self.url.as_ref(), global, output)?;
        let email = match &self.email {
            Some(email) => email.clone(),
            None => prompt::ask("E-mail", "--email ADDRESS")?,
        };
        let password = prompt::password("Password", self.password_stdin)?;
        log_in(&context, &email, &password).await
    }
}

/// End the log-in on this machine
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech logout --everywhere")]
pub(crate) struct Logout {
    /// End every log-in of the account, on all machines
    #[arg(long)]
    everywhere: bool,
}

impl Logout {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        if let Target::Socket(path) = context.client.target() {
            return Err(needs_no_log_in(path));
        }
        let path = if self.everywhere { "/v1/sessions" } else { "/v1/sessions/current" };
        let ended = context.client.send(Method::DELETE, path, None).await;
        match ended {
            Ok(_) | Err(Error::NotLoggedIn { .. }) => {}
            // What could not be ended everywhere must stay usable for the next try.
            Err(error) if self.everywhere => return Err(error),
            Err(error) => context.output.note(&format!("forgotten here only: {error}")),
        }
        let api = context.client.target().base();
        context.client.store().update(|saved| drop(saved.api.remove(api)))?;
        context.output.answer(&json!({ "logged_out": api }), || format!("logged out of {api}"))
    }
}

/// Make an account, and log in
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech signup https://api.example.org --invitation TOKEN\n\n\
    The first account of an installation, its administrator, takes the token that the first start printed:\n  \
    paastech signup https://api.example.org --setup TOKEN")]
pub(crate) struct Signup {
    /// The API's address [default: the one of the last log-in]
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// The account's e-mail address [default: asks]
    #[arg(long)]
    email: Option<String>,
    /// What the account is called [default: asks]
    #[arg(long)]
    name: Option<String>,
    /// Read the password from stdin instead of asking
    #[arg(long)]
    password_stdin: bool,
    /// The token of an invitation
    #[arg(long, value_name = "TOKEN")]
    invitation: Option<String>,
    /// The installation's one-time token: makes the administrator
    #[arg(long, value_name = "TOKEN", conflicts_with = "invitation")]
    setup: Option<String>,
}

impl Signup {
    pub(crate) async fn run(&self, global: &Global, output: Output) -> Result<()> {
        let context = open_at(self.url.as_ref(), global, output)?;
        let email = match &self.email {
            Some(email) => email.clone(),
            None => prompt::ask("E-mail", "--email ADDRESS")?,
        };
        let name = match &self.name {
            Some(name) => name.clone(),
            None => prompt::ask("Name", "--name NAME")?,
        };
        let password = prompt::new_password("Password", self.password_stdin)?;
        let mut body = json!({ "email": email, "name": name, "password": password });
        let path = if let Some(token) = &self.setup {
            body["token"] = json!(token);
            "/v1/setup"
        } else {
            if let Some(token) = &self.invitation {
                body["invitation"] = json!(token);
            }
            "/v1/accounts"
        };
        context.client.post_anonymously(path, &body).await?;
        log_in(&context, &email, &password).await
    }
}

/// The API to log in to: the one that was named as the argument, or else as for every command.
fn open_at(url: Option<&String>, global: &Global, output: Output) -> Result<Context> {
    let mut global = global.clone();
    if url.is_some() {
        global.api = url.cloned();
        global.socket = None;
    }
    let context = Context::open(&global, output)?;
    check_target(&context)?;
    Ok(context)
}

async fn log_in(context: &Context, email: &str, password: &str) -> Result<()> {
    let body = json!({ "email": email, "password": password });
    let answer = context.client.post_anonymously("/v1/sessions", &body).await.map_err(wrong_password)?;
    context.client.save_log_in(email, &answer)?;
    // The tokens belong in the file alone.
    let account = answer.get("account").cloned().unwrap_or(Value::Null);
    context.output.answer(&account, || format!("logged in to {} as {email}", context.client.target()))
}

/// The hint to log in would be of no use to who just tried.
fn wrong_password(error: Error) -> Error {
    match error {
        Error::Problem(problem) if problem.status == 401 => Error::Refused(problem),
        other => other,
    }
}

/// A log-in is with a URL, and its password should not travel in the open.
fn check_target(context: &Context) -> Result<()> {
    match context.client.target() {
        Target::Socket(path) => Err(needs_no_log_in(path)),
        Target::Url(url) => {
            if url.starts_with("http://") && !is_loopback(url) {
                context
                    .output
                    .note("warning: the password travels unencrypted, as the address begins with http://");
            }
            Ok(())
        }
    }
}

fn needs_no_log_in(socket: &Path) -> Error {
    Error::usage_hint(
        format!("{} needs no log-in: its peer is the administrator", socket.display()),
        "--api URL names an API with log-ins",
    )
}
