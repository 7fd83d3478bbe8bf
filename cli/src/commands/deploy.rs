//! `deploy` and `rollback`.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    api::{Page, Release},
    args,
    context::Context,
    error::{Error, Result},
    follow::Following,
};

/// Deploy a commit that was pushed
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech deploy\n  paastech deploy v1.2.0 --detach")]
pub(crate) struct Deploy {
    /// A commit, branch or tag in the project's repository [default: the deploy branch]
    #[arg(value_name = "REV")]
    revision: Option<String>,
    #[command(flatten)]
    following: Following,
}

impl Deploy {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        let request = match &self.revision {
            None => json!({}),
            Some(commit) if is_commit(commit) => json!({ "commit": commit }),
            Some(revision) => json!({ "revision": revision }),
        };
        post(context, &request, self.following).await
    }
}

/// Go back to an earlier release: its image and its configuration
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech rollback\n  paastech rollback v3")]
pub(crate) struct Rollback {
    /// The release, as v3, 3 or its id [default: the one before the active one]
    #[arg(value_parser = args::reference)]
    release: Option<String>,
    /// Keep today's configuration: only the image goes back
    #[arg(long)]
    keep_config: bool,
    #[command(flatten)]
    following: Following,
}

impl Rollback {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        let release = match &self.release {
            Some(release) => number(release),
            None => previous(context).await?.to_string(),
        };
        context.output.note(&format!("rolling back to release {release}"));
        let mut request = json!({ "release": release });
        if self.keep_config {
            request["keep_config"] = json!(true);
        }
        post(context, &request, self.following).await
    }
}

async fn post(context: &Context, request: &Value, following: Following) -> Result<()> {
    let path = context.project_path("/deployments")?;
    let accepted = context.client.send(Method::POST, &path, Some(request)).await?;
    following.accepted(context, &accepted).await
}

/// The newest one that had the traffic before the one that has it.
async fn previous(context: &Context) -> Result<i64> {
    let body = context.client.get(&context.project_path("/releases?limit=100")?).await?;
    let releases: Page<Release> = context.client.decode(&body)?;
    let mut older = releases.items.iter().skip_while(|release| !release.active).skip(1);
    let previous = older.find(|release| release.deployed_at.is_some());
    previous
        .map(|release| release.seq)
        .ok_or_else(|| Error::Failed("there is no release before the active one".to_owned()))
}

/// `v3` is how releases are listed; the API takes 3, or an id.
fn number(release: &str) -> String {
    let number = release.strip_prefix('v').unwrap_or(release);
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { number.to_owned() } else { release.to_owned() }
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
