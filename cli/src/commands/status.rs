//! `status` and `stats`.

use clap::Args;
use serde::Deserialize;

use crate::{
    api::{Project, short_container},
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
    url: String,
    active_release: Option<ActiveRelease>,
    containers: Vec<Container>,
}

#[derive(Debug, Deserialize)]
struct ActiveRelease {
    seq: i64,
}

#[derive(Debug, Deserialize)]
struct Container {
    name: String,
    release: i64,
    state: String,
    health: String,
    restarts: u32,
    exit_code: i32,
    oom_killed: bool,
}

#[derive(Debug, Deserialize)]
struct StatsBody {
    containers: Vec<Usage>,
}

#[derive(Debug, Deserialize)]
struct Usage {
    name: String,
    cpu_percent: f64,
    memory_bytes: u64,
    memory_limit_bytes: u64,
    network_received_bytes: u64,
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
        let state = match &status.active_release {
            Some(_) => status.desired_state,
            None => "not deployed".to_owned(),
        };
        let head = facts(&[
            ("project", Some(project.slug)),
            ("state", Some(state)),
            ("release", status.active_release.map(|release| format!("v{}", release.seq))),
            ("url", Some(status.url)),
        ]);
        let rows = status.containers.iter().map(container_row).collect();
        let containers = table(["CONTAINER", "RELEASE", "STATE", "RESTARTS"], rows, "no containers");
        context.output.line(&format!("{head}\n\n{containers}"))
    }
}

fn container_row(container: &Container) -> [String; 4] {
    [
        short_container(&container.name).to_owned(),
        format!("v{}", container.release),
        condition(container),
        container.restarts.to_string(),
    ]
}

/// The state with what explains it.
fn condition(container: &Container) -> String {
    let state = &container.state;
    match (state.as_str(), container.health.as_str()) {
        ("running", "") => state.clone(),
        ("running", health) => format!("{state} ({health})"),
        ("exited" | "dead" | "restarting", _) if container.oom_killed => format!("{state} (out of memory)"),
        ("exited" | "dead" | "restarting", _) => format!("{state} (exit code {})", container.exit_code),
        _ => state.clone(),
    }
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
        short_container(&usage.name).to_owned(),
        format!("{:.1} %", usage.cpu_percent),
        memory,
        bytes(usage.network_received_bytes),
        bytes(usage.network_sent_bytes),
    ]
}
