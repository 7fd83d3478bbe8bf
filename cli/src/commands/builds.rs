//! `builds`: the operations that make images.

use clap::{Args, Subcommand};
use reqwest::Method;

use super::operations;
use crate::{
    api::{Operation, Page},
    args,
    context::Context,
    error::{Error, Result},
    follow,
};

/// List the project's builds, the newest first, or look at one
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  paastech builds\n  paastech builds log --follow\n  paastech builds cancel"
)]
pub(crate) struct Builds {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(List),
    Show(Show),
    Log(Log),
    Cancel(Cancel),
    ClearCache(ClearCache),
}

impl Builds {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        match &self.action {
            None => self.list.run(context).await,
            Some(Action::List(command)) => command.run(context).await,
            Some(Action::Show(command)) => command.run(context).await,
            Some(Action::Log(command)) => command.run(context).await,
            Some(Action::Cancel(command)) => command.run(context).await,
            Some(Action::ClearCache(command)) => command.run(context).await,
        }
    }
}

/// List the project's builds, the newest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech builds list --project shop")]
struct List {
    /// How many at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=100))]
    limit: u8,
}

impl List {
    async fn run(&self, context: &Context) -> Result<()> {
        let path = context.project_path(&format!("/builds?limit={}", self.limit))?;
        operations::list(context, &path, "no builds yet: git push, or `paastech deploy`").await
    }
}

/// Show a build
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech builds show")]
struct Show {
    #[command(flatten)]
    build: Build,
}

impl Show {
    async fn run(&self, context: &Context) -> Result<()> {
        operations::show(context, &self.build.id(context, |_| true).await?).await
    }
}

/// Print a build's log
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech builds log --follow")]
struct Log {
    #[command(flatten)]
    build: Build,
    /// Go on to the end of the build; the exit code is then the build's
    #[arg(short, long)]
    follow: bool,
}

impl Log {
    async fn run(&self, context: &Context) -> Result<()> {
        let id = self.build.id(context, |_| true).await?;
        if self.follow { follow::to_the_end(context, &id).await } else { follow::so_far(context, &id).await }
    }
}

/// Cancel a build; what was served goes on being served
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech builds cancel --project shop")]
struct Cancel {
    #[command(flatten)]
    build: Build,
}

impl Cancel {
    async fn run(&self, context: &Context) -> Result<()> {
        let id = self.build.id(context, |build| !build.has_ended()).await?;
        operations::cancel(context, &id).await
    }
}

/// Drop what builds left for the next one, which then begins from nothing
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech builds clear-cache --project shop")]
struct ClearCache {}

impl ClearCache {
    async fn run(&self, context: &Context) -> Result<()> {
        let body = context.client.send(Method::DELETE, &context.project_path("/cache")?, None).await?;
        context.output.answer(&body, || "the build cache is cleared".to_owned())
    }
}

#[derive(Debug, Args)]
struct Build {
    /// Its id [default: the project's newest]
    #[arg(value_name = "BUILD", value_parser = args::reference)]
    build: Option<String>,
}

impl Build {
    /// Its id, or that of the newest build that fits.
    async fn id(&self, context: &Context, fits: impl Fn(&Operation) -> bool) -> Result<String> {
        if let Some(id) = &self.build {
            return Ok(id.clone());
        }
        let body = context.client.get(&context.project_path("/builds?limit=20")?).await?;
        let builds: Page<Operation> = context.client.decode(&body)?;
        let newest = builds.items.into_iter().find(fits);
        newest
            .map(|build| build.id)
            .ok_or_else(|| Error::NotFound("the project has no such build".to_owned()))
    }
}
