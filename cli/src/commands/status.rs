//! `status` and `stats`.

use clap::Args;
use serde::Deserialize;

use crate::{
    api::{Project, ReleaseRef},
    context::Context,
    error::Result,
    output::{bytes, facts, table},
};

/// Show what runs
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech status")]
pub(crate) struct Status {}

/// Show what the app uses: CPU, memory, network
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech stats --project shop")]
pub(crate) struct Stats {}

#[derive(Debug, Deserialize)]
struct StatusBody {
    desired_state: String,
    #[serde(default)]
    active_release: Option<ReleaseRef>,
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Debug, Deserialize)]
struct Container {
    name: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    health: Option<String>,
    #[serde(default)]
    release: Option<ReleaseRef>,
    #[serde(default)]
    restarts: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct StatsBody {
    #[serde(default, alias = "items")]
    containers: Vec<Usage>,
}

#[derive(Debug, Deserialize)]
struct Usage {
    #[serde(alias = "container")]
    name: String,
    #[serde(default)]
    cpu_percent: f64,
    #[serde(default)]
    memory_bytes: u64,
    #[serde(default)]
    memory_limit_bytes: u64,
    #[serde(default)]
    network_received_bytes: u64,
    #[serde(default)]
    network_sent_bytes: u64,
}

impl Status {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        let body = context.client.get(&context.project_path("/status")?).await?;
        if context.output.is_json() {
            return context.output.answer(&body, String::new);
        }
        let status: StatusBody = context.client.decode(&body)?;
        let project: Project =
            context.client.decode(&context.client.get(&context.project_path("")?).await?)?;
        let head = facts(&[
            ("project", Some(project.slug)),
            ("state", Some(status.desired_state)),
            ("release", status.active_release.as_ref().map(ReleaseRef::label)),
            ("url", project.url),
        ]);
        let rows = status.containers.iter().map(container_row).collect();
        let containers = table(["CONTAINER", "RELEASE", "STATE", "RESTARTS"], rows, "no containers");
        context.output.line(&format!("{head}\n\n{containers}"))
    }
}

fn container_row(container: &Container) -> [String; 4] {
    let health = container.health.as_deref().filter(|health| !health.is_empty());
    [
        container.name.clone(),
        container.release.as_ref().map(ReleaseRef::label).unwrap_or_default(),
        health.map_or(container.state.clone(), |health| format!("{} ({health})", container.state)),
        container.restarts.map(|count| count.to_string()).unwrap_or_default(),
    ]
}

impl Stats {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        let body = context.client.get(&context.project_path("/stats")?).await?;
        let stats: StatsBody = context.client.decode(&body)?;
        context.output.answer(&body, || {
            let rows = stats.containers.iter().map(usage_row).collect();
            table(["CONTAINER", "CPU", "MEMORY", "RECEIVED", "SENT"], rows, "nothing runs")
        })
    }
}

fn usage_row(usage: &Usage) -> [String; 5] {
    let memory = match usage.memory_limit_bytes {
        0 => bytes(usage.memory_bytes),
        limit => format!("{} of {}", bytes(usage.memory_bytes), bytes(limit)),
    };
    [
        usage.name.clone(),
        format!("{:.1} %", usage.cpu_percent),
        memory,
        bytes(usage.network_received_bytes),
        bytes(usage.network_sent_bytes),
    ]
}
