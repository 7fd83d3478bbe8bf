//! `stop` and `start`.

use clap::Args;
use reqwest::Method;
use serde_json::json;

use crate::{context::Context, error::Result, follow::Following};

/// Stop the app: its address serves nothing until it is started
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech stop --project shop")]
pub(crate) struct Stop {
    #[command(flatten)]
    following: Following,
}

/// Start the app again, with its last release
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech start --project shop")]
pub(crate) struct Start {
    #[command(flatten)]
    following: Following,
}

impl Stop {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        post(context, "/stop", self.following).await
    }
}

impl Start {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        post(context, "/start", self.following).await
    }
}

async fn post(context: &Context, action: &str, following: Following) -> Result<()> {
    let path = context.project_path(action)?;
    let accepted = context.client.send(Method::POST, &path, Some(&json!({}))).await?;
    following.accepted(context, &accepted).await
}
