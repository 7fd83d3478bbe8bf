//! `builder`: what builds repositories without a Dockerfile.

use clap::{Args, Subcommand};

use crate::{
    api::{Builder, Builders},
    context::Context,
    error::{Error, Result},
    output::{facts, table},
};

/// See what builds repositories without a Dockerfile
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech builder list\n  paastech builder inspect")]
pub(crate) struct BuilderCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(List),
    Inspect(Inspect),
}

/// List the builders on the platform, the default one first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech builder list")]
struct List {}

/// Show what is in a builder
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech builder inspect paastech/builder:12")]
struct Inspect {
    /// Its image [default: the default builder]
    image: Option<String>,
}

impl BuilderCommand {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        match &self.action {
            Action::List(_) => list(context).await,
            Action::Inspect(inspect) => inspect.run(context).await,
        }
    }
}

async fn list(context: &Context) -> Result<()> {
    let body = context.client.get("/v1/builders").await?;
    let builders: Builders = context.client.decode(&body)?;
    context.output.answer(&body, || {
        let rows = builders.items.iter().map(row).collect();
        let header = ["BUILDER", "RUN IMAGE", "BUILDPACKS", ""];
        let table =
            table(header, rows, "no builder is on this platform: its operator runs `cargo xtask builder`");
        match &builders.allowed[..] {
            [] => table,
            allowed => format!("{table}\na repository may also name: {}", allowed.join(", ")),
        }
    })
}

fn row(builder: &Builder) -> [String; 4] {
    [
        builder.image.clone(),
        builder.run_image.clone(),
        builder.buildpacks.len().to_string(),
        builder.unusable.clone().unwrap_or_default(),
    ]
}

impl Inspect {
    async fn run(&self, context: &Context) -> Result<()> {
        let body = context.client.get("/v1/builders").await?;
        let builders: Builders = context.client.decode(&body)?;
        let wanted = |builder: &Builder| self.image.as_ref().is_none_or(|image| *image == builder.image);
        let index = builders.items.iter().position(wanted);
        let index = index.ok_or_else(|| {
            let name = self.image.as_deref().unwrap_or("a default builder");
            Error::NotFound(format!("{name} is not on this platform: see `paastech builder list`"))
        })?;
        let builder = &builders.items[index];
        context.output.answer(&body["items"][index], || {
            let mut lines = vec![
                ("builder", Some(builder.image.clone())),
                ("run image", Some(builder.run_image.clone())),
                ("platform api", Some(builder.platform_api.clone())),
                ("unusable", builder.unusable.clone()),
            ];
            let packs = builder.buildpacks.iter();
            lines.extend(packs.map(|pack| ("buildpack", Some(format!("{} {}", pack.id, pack.version)))));
            facts(&lines)
        })
    }
}
