//! `releases`.

use clap::{Args, Subcommand};

use crate::{
    api::{Image, Page, Release},
    args,
    context::Context,
    error::Result,
    output::{facts, table},
    when::ago,
};

/// List the releases, the newest first, or show one
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech releases\n  paastech releases show v3")]
pub(crate) struct Releases {
    #[command(subcommand)]
    action: Option<Action>,
    /// How many at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=100))]
    limit: u8,
}

impl Releases {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        if let Some(Action::Show(show)) = &self.action {
            return show.run(context).await;
        }
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

#[derive(Debug, Subcommand)]
enum Action {
    Show(Show),
}

/// Show a release: what built it, its processes, its port
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech releases show v3")]
pub(crate) struct Show {
    /// Its number
    #[arg(value_name = "RELEASE", value_parser = args::reference)]
    release: String,
}

impl Show {
    async fn run(&self, context: &Context) -> Result<()> {
        let number = self.release.trim_start_matches('v');
        let body = context.client.get(&context.project_path(&format!("/releases/{number}"))?).await?;
        let release: Release = context.client.decode(&body)?;
        context.output.answer(&body, || {
            let image = release.image.as_ref();
            facts(&[
                ("release", Some(format!("v{}", release.seq))),
                ("commit", Some(release.commit.clone())),
                ("reason", Some(release.reason.clone())),
                ("made", Some(ago(release.created_at))),
                ("size", image.map(|image| format!("{} MB", image.size_bytes / 1_000_000))),
                ("port", image.map(|image| image.port.to_string())),
                (
                    "builder",
                    image.map(|image| image.builder.clone().unwrap_or_else(|| "Dockerfile".to_owned())),
                ),
                ("buildpacks", image.and_then(buildpacks)),
                ("processes", image.map(processes)),
            ])
        })
    }
}

fn buildpacks(image: &Image) -> Option<String> {
    let names: Vec<String> =
        image.buildpacks.iter().map(|pack| format!("{} {}", pack.id, pack.version)).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn processes(image: &Image) -> String {
    let known = |declared: &str| if declared.is_empty() { String::new() } else { format!(" ({declared})") };
    let names = image.processes.iter().map(|process| format!("{}{}", process.name, known(&process.declared)));
    names.collect::<Vec<_>>().join(", ")
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
