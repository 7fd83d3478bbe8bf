//! `accounts`: what an administrator does about other people's accounts.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use crate::{
    api::{Account, Page},
    client::encode,
    context::Context,
    error::{Error, Result},
    output::table,
};

/// Manage accounts, as an administrator
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech accounts list")]
pub(crate) struct Accounts {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Trust(Trust),
    Untrust(Untrust),
}

/// List accounts
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech accounts list")]
struct List {}

/// Build an account's Dockerfiles where only trusted accounts' are built
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech accounts trust ada@example.org")]
struct Trust {
    /// The account's e-mail address
    email: String,
}

/// Build an account's Dockerfiles no longer where only trusted accounts' are built
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech accounts untrust ada@example.org")]
struct Untrust {
    /// The account's e-mail address
    email: String,
}

impl Accounts {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        match &self.command {
            Command::List(_) => list(context).await,
            Command::Trust(command) => set_trusted(context, &command.email, true).await,
            Command::Untrust(command) => set_trusted(context, &command.email, false).await,
        }
    }
}

async fn list(context: &Context) -> Result<()> {
    let body = context.client.list("/v1/accounts").await?;
    let accounts: Page<Account> = context.client.decode(&body)?;
    context.output.answer(&body, || {
        let rows = accounts.items.iter().map(row).collect();
        table(["E-MAIL", "NAME", "ROLE", "TRUSTED"], rows, "no accounts")
    })
}

fn row(account: &Account) -> [String; 4] {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let trusted = if account.trusted { "yes" } else { "no" };
    [text(&account.email), text(&account.name), text(&account.role), trusted.to_owned()]
}

async fn set_trusted(context: &Context, email: &str, trusted: bool) -> Result<()> {
    let found = context.client.get(&format!("/v1/accounts?email={}", encode(email))).await?;
    let found: Page<Account> = context.client.decode(&found)?;
    let account = found.items.first();
    let account = account.ok_or_else(|| Error::NotFound(format!("there is no account {email}")))?;
    let path = format!("/v1/accounts/{}", account.id);
    let body = context.client.send(Method::PATCH, &path, Some(&json!({ "trusted": trusted }))).await?;
    let now = if trusted { "trusted" } else { "not trusted" };
    context.output.answer(&body, || format!("{email} is {now}"))
}
