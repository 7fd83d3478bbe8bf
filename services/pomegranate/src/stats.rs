//! `Stats`: what containers use right now.

use bollard::{models::ContainerStatsResponse, query_parameters::StatsOptions};
use futures_util::{StreamExt as _, future::join_all};
use paastech_proto::pomegranate::ContainerStats;

use crate::{
    engine::{Engine, Owned},
    error::Error,
};

/// Measures all containers at once; the engine needs about a second for its two samples.
pub(crate) async fn measure(engine: &Engine, containers: &[Owned]) -> Result<Vec<ContainerStats>, Error> {
    let docker = engine.docker().await?;
    let measured = join_all(containers.iter().map(|container| async move {
        let options = StatsOptions { stream: false, one_shot: false };
        let sample = docker.stats(&container.id, Some(options)).next().await;
        // One that ends meanwhile has no numbers.
        sample.and_then(Result::ok).map(|sample| message(container, &sample))
    }));
    Ok(measured.await.into_iter().flatten().collect())
}

fn message(container: &Owned, sample: &ContainerStatsResponse) -> ContainerStats {
    let memory = sample.memory_stats.clone().unwrap_or_default();
    let cache = memory
        .stats
        .as_ref()
        .and_then(|stats| stats.get("total_inactive_file").or_else(|| stats.get("inactive_file")).copied());
    let networks = sample.networks.clone().unwrap_or_default();
    ContainerStats {
        container: container.name(),
        memory_bytes: memory.usage.unwrap_or_default().saturating_sub(cache.unwrap_or_default()),
        memory_limit_bytes: memory.limit.unwrap_or_default(),
        cpu_percent: cpu_percent(sample).unwrap_or_default(),
        network_rx_bytes: networks.values().filter_map(|network| network.rx_bytes).sum(),
        network_tx_bytes: networks.values().filter_map(|network| network.tx_bytes).sum(),
        pids: sample
            .pids_stats
            .as_ref()
            .and_then(|pids| pids.current)
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or_default(),
    }
}

/// Of one core, between the two samples.
#[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
fn cpu_percent(sample: &ContainerStatsResponse) -> Option<f64> {
    let (now, before) = (sample.cpu_stats.as_ref()?, sample.precpu_stats.as_ref()?);
    let used = now.cpu_usage.as_ref()?.total_usage?.checked_sub(before.cpu_usage.as_ref()?.total_usage?)?;
    let system = now.system_cpu_usage?.checked_sub(before.system_cpu_usage?)?;
    let cores = f64::from(now.online_cpus.unwrap_or(1).max(1));
    (system > 0).then(|| used as f64 / system as f64 * cores * 100.0)
}

#[cfg(test)]
mod tests {
    use bollard::models::{ContainerCpuStats, ContainerCpuUsage};

    use super::*;

    #[test]
    fn cpu_is_told_in_percent_of_one_core() {
        let stats = |total: u64, system: u64| ContainerCpuStats {
            cpu_usage: Some(ContainerCpuUsage { total_usage: Some(total), ..ContainerCpuUsage::default() }),
            system_cpu_usage: Some(system),
            online_cpus: Some(2),
            ..ContainerCpuStats::default()
        };
        let sample = ContainerStatsResponse {
            cpu_stats: Some(stats(600, 3000)),
            precpu_stats: Some(stats(100, 1000)),
            ..ContainerStatsResponse::default()
        };
        assert_eq!(cpu_percent(&sample), Some(50.0));
    }
}
