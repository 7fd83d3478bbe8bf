//! `Status` and `List`: what is there, in the engine's words.

use bollard::models::ContainerInspectResponse;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use paastech_proto::pomegranate::Container;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    engine::{Engine, Owned},
    error::Error,
};

/// Inspections at a time.
const AT_ONCE: usize = 8;

/// Each container's state; those that have gone meanwhile are left out.
pub(crate) async fn describe(engine: &Engine, owned: Vec<Owned>) -> Result<Vec<Container>, Error> {
    let found: Vec<Option<Container>> = stream::iter(owned)
        .map(|container| async move {
            let found = engine.inspect(&container.id).await?;
            Ok::<_, Error>(found.map(|found| message(&container, found)))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

fn message(owned: &Owned, found: ContainerInspectResponse) -> Container {
    let state = found.state.unwrap_or_default();
    let health = state.health.and_then(|health| health.status);
    Container {
        id: owned.id.clone(),
        name: found.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        release_id: owned.labels.release.to_string(),
        release_seq: owned.labels.seq,
        process: owned.labels.process.clone(),
        ordinal: owned.labels.ordinal,
        state: state.status.map(|status| status.to_string()).unwrap_or_default(),
        health: health
            .map(|status| status.to_string())
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| "none".to_owned()),
        restarts: found.restart_count.and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
        exit_code: state.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or_default(),
        oom_killed: state.oom_killed.unwrap_or_default(),
        started_at_ms: state.started_at.as_deref().and_then(instant_ms).unwrap_or_default(),
        image_id: found.image.unwrap_or_default(),
    }
}

/// Milliseconds since the epoch of one of the engine's times; `None` for its year 1, which means never.
pub(crate) fn instant_ms(text: &str) -> Option<i64> {
    let instant = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(instant.unix_timestamp_nanos() / 1_000_000).ok().filter(|ms| *ms > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_engines_times() {
        assert_eq!(instant_ms("2026-11-22T13:42:17.123456789Z"), Some(1_795_354_937_123));
        assert_eq!(instant_ms("0001-01-01T00:00:00Z"), None);
        assert_eq!(instant_ms("yesterday"), None);
    }
}
