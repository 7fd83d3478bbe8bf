//! `deploy` and `rollback`.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    api::{Page, Project, Release},
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
            Some(release) => find(context, release).await?,
            None => previous(context).await?,
        };
        context.output.note(&format!("rolling back to v{}", release.seq));
        let mut request = json!({ "release": release.id });
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

async fn find(context: &Context, release: &str) -> Result<Release> {
    let number = release.strip_prefix('v').unwrap_or(release);
    let name = if number.bytes().all(|byte| byte.is_ascii_digit()) { number } else { release };
    let body = context.client.get(&context.project_path(&format!("/releases/{name}"))?).await?;
    context.client.decode(&body)
}

async fn previous(context: &Context) -> Result<Release> {
    let project: Project = context.client.decode(&context.client.get(&context.project_path("")?).await?)?;
    let body = context.client.list(&context.project_path("/releases")?).await?;
    let mut releases: Page<Release> = context.client.decode(&body)?;
    releases.items.sort_by_key(|release| std::cmp::Reverse(release.seq));
    let is_active =
        |release: &Release| project.active_release.as_ref().is_some_and(|active| active.is(release));
    let mut older = releases.items.into_iter().skip_while(|release| !is_active(release)).skip(1);
    older.next().ok_or_else(|| Error::Failed("there is no release before the active one".to_owned()))
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
