//! `releases`.

use clap::Args;

use crate::{
    api::{Page, Project, Release},
    context::Context,
    error::Result,
    output::table,
    when::ago,
};

/// List the releases, the newest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech releases")]
pub(crate) struct Releases {}

impl Releases {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        let body = context.client.list(&context.project_path("/releases")?).await?;
        if context.output.is_json() {
            return context.output.answer(&body, String::new);
        }
        let mut releases: Page<Release> = context.client.decode(&body)?;
        releases.items.sort_by_key(|release| std::cmp::Reverse(release.seq));
        let project: Project =
            context.client.decode(&context.client.get(&context.project_path("")?).await?)?;
        let rows = releases.items.iter().map(|release| row(release, &project)).collect();
        let header = ["RELEASE", "STATE", "COMMIT", "CONFIG", "REASON", "MADE"];
        context.output.line(&table(header, rows, "no releases yet: push, or `paastech deploy`"))
    }
}

fn row(release: &Release, project: &Project) -> [String; 6] {
    let active = project.active_release.as_ref().is_some_and(|active| active.is(release));
    [
        format!("v{}", release.seq),
        if active { "active" } else { "" }.to_owned(),
        release.commit.as_deref().map(short).unwrap_or_default(),
        release.configuration_version.map(|version| version.to_string()).unwrap_or_default(),
        release.reason.clone().unwrap_or_default(),
        ago(release.created_at),
    ]
}

/// A commit as people write it.
pub(crate) fn short(commit: &str) -> String {
    commit.chars().take(10).collect()
}
