//! `config`: the variables that an app sees, plain and secret.

use std::fs;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::{
    api::{Page, Variable},
    context::Context,
    error::{Error, Result},
    follow::Following,
    output::table,
    prompt,
    when::ago,
};

/// Manage the variables that the app sees
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  paastech config set GREETING=hello\n  paastech config set --secret DATABASE_URL"
)]
pub(crate) struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Set(Set),
    Unset(Unset),
    List(List),
}

/// Set variables: one new release with all of them
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  paastech config set GREETING=hello COLOUR=blue
  paastech config set --secret DATABASE_URL            (asks for it)
  pass show db | paastech config set --secret DATABASE_URL
  paastech config set --secret CERTIFICATE=@cert.pem   (from a file)

A newline at the end of a file or of stdin is not part of the value. A value that begins with @ is written with @@.")]
struct Set {
    /// K=VALUE, K=@FILE, or K alone: its value is asked for, or read from stdin
    #[arg(required = true, value_name = "K=VALUE")]
    variables: Vec<String>,
    /// Secrets: stored encrypted, never shown again
    #[arg(long)]
    secret: bool,
    /// Buildpacks see them too
    #[arg(long)]
    build: bool,
    #[command(flatten)]
    effect: Effect,
}

/// Unset variables
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech config unset GREETING COLOUR")]
struct Unset {
    /// Their names
    #[arg(required = true, value_name = "K")]
    names: Vec<String>,
    /// Only secrets: refuse plain ones
    #[arg(long)]
    secret: bool,
    #[command(flatten)]
    effect: Effect,
}

/// List variables; of secrets only the names
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech config list --secret")]
struct List {
    /// Only secrets
    #[arg(long)]
    secret: bool,
}

#[derive(Debug, Args)]
struct Effect {
    /// Keep them for the next deployment instead of deploying now
    #[arg(long)]
    no_deploy: bool,
    #[command(flatten)]
    following: Following,
}

impl Config {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        match &self.command {
            Command::Set(command) => command.run(context).await,
            Command::Unset(command) => command.run(context).await,
            Command::List(command) => command.run(context).await,
        }
    }
}

impl Set {
    async fn run(&self, context: &Context) -> Result<()> {
        let kind = if self.secret { "secret" } else { "plain" };
        let mut set = Map::new();
        let mut stdin_used = false;
        for argument in &self.variables {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, given(value)?),
                None => (argument.as_str(), asked(argument, self.secret, &mut stdin_used)?),
            };
            let variable = json!({ "value": value, "kind": kind, "build": self.build });
            if set.insert(name.to_owned(), variable).is_some() {
                return Err(Error::usage(format!("{name} is set twice")));
            }
        }
        let names: Vec<String> = set.keys().cloned().collect();
        let body = self.effect.apply(context, &json!({ "set": set, "unset": [] })).await?;
        context.output.note(&format!("set {}", names.join(", ")));
        self.effect.following.accepted(context, &body).await
    }
}

impl Unset {
    async fn run(&self, context: &Context) -> Result<()> {
        if self.secret {
            let variables = fetch(context).await?.1;
            let plain =
                variables.items.iter().find(|known| !known.is_secret() && self.names.contains(&known.name));
            if let Some(plain) = plain {
                return Err(Error::usage(format!("{} is not a secret", plain.name)));
            }
        }
        let body = self.effect.apply(context, &json!({ "set": {}, "unset": self.names })).await?;
        context.output.note(&format!("unset {}", self.names.join(", ")));
        self.effect.following.accepted(context, &body).await
    }
}

impl List {
    async fn run(&self, context: &Context) -> Result<()> {
        let (mut body, mut variables) = fetch(context).await?;
        if self.secret {
            variables.items.retain(Variable::is_secret);
            if let Some(items) = body["items"].as_array_mut() {
                items.retain(|item| item["kind"] == "secret");
            }
        }
        context.output.answer(&body, || {
            let rows = variables.items.iter().map(row).collect();
            table(["NAME", "VALUE", "BUILD", "SET"], rows, "nothing is set")
        })
    }
}

impl Effect {
    async fn apply(&self, context: &Context, change: &Value) -> Result<Value> {
        let path =
            context.project_path(if self.no_deploy { "/variables?deploy=false" } else { "/variables" })?;
        context.client.send(Method::PATCH, &path, Some(change)).await
    }
}

async fn fetch(context: &Context) -> Result<(Value, Page<Variable>)> {
    let body = context.client.list(&context.project_path("/variables")?).await?;
    let variables = context.client.decode(&body)?;
    Ok((body, variables))
}

fn row(variable: &Variable) -> [String; 4] {
    let value = if variable.is_secret() { "(secret)" } else { variable.value.as_deref().unwrap_or_default() };
    [
        variable.name.clone(),
        value.replace('\n', "\\n"),
        if variable.build { "yes" } else { "" }.to_owned(),
        ago(variable.set_at),
    ]
}

/// A value on the command line: itself, or the file that it names.
fn given(value: &str) -> Result<String> {
    let Some(path) = value.strip_prefix('@') else { return Ok(value.to_owned()) };
    if path.starts_with('@') {
        return Ok(path.to_owned());
    }
    fs::read_to_string(path).map(prompt::without_newline).map_err(Error::io(format!("read {path}")))
}

/// A value that is not on the command line, and so in no shell's history.
fn asked(name: &str, secret: bool, stdin_used: &mut bool) -> Result<String> {
    match (prompt::can_ask(), secret) {
        (true, true) => prompt::ask_hidden(name, ""),
        (true, false) => prompt::ask(name, ""),
        (false, _) if *stdin_used => Err(Error::usage("stdin can hold the value of one variable only")),
        (false, _) => {
            *stdin_used = true;
            prompt::read_stdin()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_lie_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value");
        fs::write(&path, "hunter2\n").unwrap();
        assert_eq!(given(&format!("@{}", path.display())).unwrap(), "hunter2");
        assert_eq!(given("@@home").unwrap(), "@home");
        assert_eq!(given("a=b").unwrap(), "a=b");
        assert!(given("@/nowhere/at/all").is_err());
    }
}
