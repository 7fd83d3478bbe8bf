//! `create`: a project, and the git remote that one pushes to.

use std::path::Path;

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    api::Project,
    context::Context,
    error::{Error, Result},
    output::facts,
    remote,
};

/// Create a project, and add the git remote `paastech` to this repository
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech create shop\n  git push paastech main")]
pub(crate) struct Create {
    /// Its name [default: the folder's]
    name: Option<String>,
    /// Leave git alone
    #[arg(long)]
    no_remote: bool,
    /// The branch that is deployed when it is pushed [default: main]
    #[arg(long, value_name = "BRANCH")]
    deploy_branch: Option<String>,
    /// A push builds; `paastech deploy` deploys
    #[arg(long)]
    no_auto_deploy: bool,
    /// The HTTP path that must answer before a release takes traffic [default: an open port is enough]
    #[arg(long, value_name = "PATH")]
    health_path: Option<String>,
}

impl Create {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        let repository = if self.no_remote { None } else { remote::find_repository()? };
        // Found out before there is a project that would have no remote.
        if repository.is_some() && remote::find_url(context.remote())?.is_some() {
            return Err(Error::usage_hint(
                format!("this repository has a remote '{}' already", context.remote()),
                "--remote NAME gives it another name, --no-remote adds none",
            ));
        }
        let name = self.name(repository.as_deref())?;
        let body = context.client.send(Method::POST, "/v1/projects", Some(&self.request(&name))).await?;
        let project: Project = context.client.decode(&body)?;
        context.output.answer(&body, || {
            facts(&[
                ("project", Some(project.slug.clone())),
                ("url", project.url.clone()),
                ("git", project.git_url.clone()),
            ])
        })?;
        let Some(url) = &project.git_url else { return Ok(()) };
        if repository.is_some() {
            remote::add(context.remote(), url)?;
        }
        if !context.output.is_json() {
            explain(context, &project, url, repository.is_some()).await;
        }
        Ok(())
    }

    fn name(&self, repository: Option<&str>) -> Result<String> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let here = std::env::current_dir().map_err(Error::io("find the current directory"))?;
        remote::suggest_name(repository.map_or(&here, Path::new)).ok_or_else(|| {
            Error::usage_hint("this folder's name makes no project name", "paastech create NAME")
        })
    }

    fn request(&self, name: &str) -> Value {
        let mut request = json!({ "slug": name });
        if let Some(branch) = &self.deploy_branch {
            request["deploy_branch"] = json!(branch);
        }
        if self.no_auto_deploy {
            request["auto_deploy"] = json!(false);
        }
        if let Some(path) = &self.health_path {
            request["health_path"] = json!(path);
        }
        request
    }
}

/// What comes next. The project is there: nothing here fails the command.
async fn explain(context: &Context, project: &Project, url: &str, has_remote: bool) {
    let branch = project.deploy_branch.as_deref().unwrap_or("main");
    if has_remote {
        context.output.note(&format!("next: git push {} {branch}", context.remote()));
    } else {
        context.output.note(&format!("next, in your repository: git remote add {} {url}", context.remote()));
    }
    if let Ok(keys) = context.client.get("/v1/ssh-keys").await
        && keys["items"].as_array().is_some_and(Vec::is_empty)
    {
        context.output.note("before that: paastech keys add (you have no SSH key there yet)");
    }
}
