//! `rename` and `settings`.

use clap::{Args, ValueEnum};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::{api::Project, context::Context, error::Result, output::facts};

/// Give the project another name; its address and its git remote stay
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech rename store --project shop")]
pub(crate) struct Rename {
    /// The new name
    name: String,
}

impl Rename {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        let request = json!({ "slug": self.name });
        let body = context.client.send(Method::PATCH, &context.project_path("")?, Some(&request)).await?;
        let project: Project = context.client.decode(&body)?;
        context.output.answer(&body, || format!("renamed to {}", project.slug))
    }
}

/// Show the project's settings, or change them
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  paastech settings\n  paastech settings --auto-deploy off --health-path /healthz"
)]
pub(crate) struct Settings {
    /// The branch that is deployed when it is pushed
    #[arg(long, value_name = "BRANCH")]
    deploy_branch: Option<String>,
    /// Whether a push deploys, or only builds
    #[arg(long)]
    auto_deploy: Option<Switch>,
    /// The HTTP path that must answer before a release takes traffic; an empty one: an open port is enough
    #[arg(long, value_name = "PATH")]
    health_path: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl Settings {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        let path = context.project_path("")?;
        let change = self.change();
        let body = if change.is_empty() {
            context.client.get(&path).await?
        } else {
            context.client.send(Method::PATCH, &path, Some(&Value::Object(change))).await?
        };
        let project: Project = context.client.decode(&body)?;
        context.output.answer(&body, || show(&project))
    }

    fn change(&self) -> Map<String, Value> {
        let mut change = Map::new();
        if let Some(branch) = &self.deploy_branch {
            change.insert("deploy_branch".to_owned(), json!(branch));
        }
        if let Some(switch) = self.auto_deploy {
            change.insert("auto_deploy".to_owned(), json!(switch == Switch::On));
        }
        if let Some(path) = &self.health_path {
            change.insert("health_path".to_owned(), json!(path));
        }
        change
    }
}

fn show(project: &Project) -> String {
    let auto_deploy = project.auto_deploy.map(|on| if on { "on" } else { "off" }.to_owned());
    facts(&[
        ("project", Some(project.slug.clone())),
        ("id", Some(project.id.clone())),
        ("url", project.url.clone()),
        ("git", project.git_url.clone()),
        ("deploy branch", project.deploy_branch.clone()),
        ("auto deploy", auto_deploy),
        ("health path", project.health_path.clone()),
    ])
}
