//! `whoami`, `password`, `version`.

use clap::Args;
use reqwest::Method;
use serde_json::json;

use crate::{
    api::Account,
    args::Global,
    context::Context,
    error::Result,
    output::{Output, facts},
    prompt,
};

/// Show the account that is logged in
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech whoami")]
pub(crate) struct Whoami {}

impl Whoami {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        let body = context.client.get("/v1/account").await?;
        let account: Account = context.client.decode(&body)?;
        context.output.answer(&body, || {
            facts(&[
                ("account", account.email.clone()),
                ("name", account.name.clone()),
                ("role", account.role.clone()),
                ("api", Some(context.client.target().to_string())),
            ])
        })
    }
}

/// Change the account's password
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech password")]
pub(crate) struct Password {
    /// Read the current and the new password from stdin, one a line
    #[arg(long)]
    password_stdin: bool,
}

impl Password {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        let (current, new) = if self.password_stdin {
            let text = prompt::read_stdin()?;
            let (current, new) = text.split_once('\n').unwrap_or((&text, ""));
            (current.trim_end_matches('\r').to_owned(), new.trim_end_matches('\r').to_owned())
        } else {
            (prompt::password("Current password", false)?, prompt::new_password("New password", false)?)
        };
        let body = json!({ "current": current, "new": new });
        let answer = context.client.send(Method::PUT, "/v1/account/password", Some(&body)).await?;
        context.output.answer(&answer, || "password changed".to_owned())
    }
}

/// Show the version of this command and of the server
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech version --json")]
pub(crate) struct Version {}

impl Version {
    pub(crate) async fn run(&self, global: &Global, output: Output) -> Result<()> {
        let own = env!("CARGO_PKG_VERSION");
        // Without a server at hand the question still has half an answer.
        let server = match Context::open(global, output) {
            Ok(context) => context.client.get_anonymously("/v1/version").await.ok(),
            Err(_) => None,
        };
        let theirs = server.as_ref().and_then(|body| body.get("version")?.as_str()).map(str::to_owned);
        output.answer(&json!({ "client": own, "server": server }), || {
            facts(&[
                ("client", Some(own.to_owned())),
                ("server", Some(theirs.unwrap_or_else(|| "not reachable".to_owned()))),
            ])
        })
    }
}
