//! `operations`, `operation`, `cancel`: deployments and the like, running and done.

use clap::Args;
use reqwest::Method;
use serde_json::json;

use crate::{
    api::{Operation, Page},
    args,
    context::Context,
    error::Result,
    follow,
    output::{facts, table},
    when::ago,
};

/// List the project's operations, the newest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech operations --project shop")]
pub(crate) struct Operations {
    /// How many at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=100))]
    limit: u8,
}

impl Operations {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        let path = context.project_path(&format!("/operations?limit={}", self.limit))?;
        list(context, &path, "no operations yet").await
    }
}

/// Show one operation, or follow it to its end
#[derive(Debug, Args)]
#[command(
    name = "operation",
    after_help = "Example:\n  paastech operation 01890a5d-ac96-774b-bcce-b302099a8057 --follow"
)]
pub(crate) struct Show {
    /// Its id
    #[arg(value_parser = args::reference)]
    id: String,
    /// Show its log from the start, to its end
    #[arg(short, long)]
    follow: bool,
}

impl Show {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        if self.follow {
            return follow::to_the_end(context, &self.id).await;
        }
        show(context, &self.id).await
    }
}

/// Cancel an operation: what it did is undone, the old release goes on serving
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech cancel 01890a5d-ac96-774b-bcce-b302099a8057")]
pub(crate) struct Cancel {
    /// Its id
    #[arg(value_parser = args::reference)]
    id: String,
}

impl Cancel {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        cancel(context, &self.id).await
    }
}

/// Shows a page of operations.
pub(super) async fn list(context: &Context, path: &str, none: &str) -> Result<()> {
    let body = context.client.get(path).await?;
    let operations: Page<Operation> = context.client.decode(&body)?;
    context.output.answer(&body, || {
        let rows = operations.items.iter().map(row).collect();
        table(["OPERATION", "KIND", "STATE", "STARTED", "ERROR"], rows, none)
    })
}

/// Shows one operation.
pub(super) async fn show(context: &Context, id: &str) -> Result<()> {
    let body = context.client.get(&format!("/v1/operations/{id}")).await?;
    let operation: Operation = context.client.decode(&body)?;
    context.output.answer(&body, || {
        facts(&[
            ("operation", Some(operation.id.clone())),
            ("kind", Some(operation.kind.clone())),
            ("commit", operation.commit.clone()),
            ("state", Some(operation.state.clone())),
            ("step", operation.step.clone().filter(|_| !operation.has_ended())),
            ("started", Some(ago(operation.created_at))),
            ("url", operation.url.clone()),
            ("error", operation.reason().map(str::to_owned)),
        ])
    })
}

/// Asks an operation to stop.
pub(super) async fn cancel(context: &Context, id: &str) -> Result<()> {
    let path = format!("/v1/operations/{id}/cancel");
    let body = context.client.send(Method::POST, &path, Some(&json!({}))).await?;
    context.output.answer(&body, || format!("asked operation {id} to stop"))
}

fn row(operation: &Operation) -> [String; 5] {
    [
        operation.id.clone(),
        operation.kind.clone(),
        operation.state.clone(),
        ago(operation.created_at),
        operation.reason().unwrap_or_default().to_owned(),
    ]
}
