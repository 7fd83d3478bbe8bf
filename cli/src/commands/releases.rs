//! `releases`.

use clap::Args;

use crate::{
    api::{Page, Release},
    context::Context,
    error::Result,
    output::table,
    when::ago,
};

/// List the releases, the newest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech releases")]
pub(crate) struct Releases {
    /// How many at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=100))]
    limit: u8,
}

impl Releases {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        let path = context.project_path(&format!("/releases?limit={}", self.limit))?;
        let body = context.client.get(&path).await?;
        let releases: Page<Release> = context.client.decode(&body)?;
        context.output.answer(&body, || {
            let rows = releases.items.iter().map(row).collect();
            let header = ["RELEASE", "STATE", "COMMIT", "CONFIG", "REASON", "MADE"];
            table(header, rows, "no releases yet: push, or `paastech deploy`")
        })
    }
}

fn row(release: &Release) -> [String; 6] {
    let state = match (release.active, release.deployed_at) {
        (true, _) => "active",
        (false, Some(_)) => "",
        (false, None) => "never deployed",
    };
    [
        format!("v{}", release.seq),
        state.to_owned(),
        // As people write it.
        release.commit.chars().take(10).collect(),
        release.configuration_version.to_string(),
        release.reason.clone(),
        ago(release.created_at),
    ]
}
