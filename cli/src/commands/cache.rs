//! `clear-cache`.

use clap::Args;
use reqwest::Method;

use crate::{context::Context, error::Result};

/// Drop what builds left for the next one, which then begins from nothing
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech clear-cache --project shop")]
pub(crate) struct ClearCache {}

impl ClearCache {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        let body = context.client.send(Method::DELETE, &context.project_path("/cache")?, None).await?;
        context.output.answer(&body, || "the build cache is cleared".to_owned())
    }
}
