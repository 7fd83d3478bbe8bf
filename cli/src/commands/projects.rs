//! `projects`.

use clap::Args;

use crate::{
    api::{Page, Project},
    context::Context,
    error::Result,
    output::table,
};

/// List your projects
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech projects")]
pub(crate) struct Projects {}

impl Projects {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        let body = context.client.list("/v1/projects").await?;
        let projects: Page<Project> = context.client.decode(&body)?;
        context.output.answer(&body, || {
            let rows = projects.items.iter().map(row).collect();
            table(["NAME", "STATE", "URL"], rows, "no projects: `paastech create NAME` makes one")
        })
    }
}

fn row(project: &Project) -> [String; 3] {
    let state = match &project.active_release {
        Some(_) => project.desired_state.clone().unwrap_or_default(),
        None => "not deployed".to_owned(),
    };
    [project.slug.clone(), state, project.url.clone().unwrap_or_default()]
}
