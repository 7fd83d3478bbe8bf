//! `delete`.

use clap::Args;
use reqwest::Method;

use crate::{
    api::Project,
    context::Context,
    error::{Error, Result},
    follow::Following,
    prompt, remote,
};

/// Delete the project with its repository, releases and variables
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech delete --project shop --yes")]
pub(crate) struct Delete {
    /// Don't ask for the project's name
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    following: Following,
}

impl Delete {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        let path = context.project_path("")?;
        let project: Project = context.client.decode(&context.client.get(&path).await?)?;
        if !self.yes {
            confirm(context, &project)?;
        }
        // By id: what was confirmed is what goes, whoever renames something meanwhile.
        let path = format!("/v1/projects/{}", project.id);
        let accepted = context.client.send(Method::DELETE, &path, None).await?;
        self.following.accepted(context, &accepted).await?;
        if remote::find_project(context.remote())?
            .is_some_and(|named| named == project.id || named == project.slug)
        {
            context
                .output
                .note(&format!("its git remote is still here: git remote remove {}", context.remote()));
        }
        Ok(())
    }
}

fn confirm(context: &Context, project: &Project) -> Result<()> {
    if !prompt::can_ask() {
        return Err(Error::usage_hint(
            "deleting asks first, and there is no terminal to ask on",
            "--yes says yes",
        ));
    }
    let slug = &project.slug;
    context
        .output
        .note(&format!("This deletes {slug} with its repository, releases and variables, for ever."));
    if prompt::ask("Type the project's name to go on", "--yes")? != *slug {
        return Err(Error::usage("that is not its name: nothing was deleted"));
    }
    Ok(())
}
