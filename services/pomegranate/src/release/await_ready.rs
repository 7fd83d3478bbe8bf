//! `AwaitRelease`: one exec of the probe per container, which blocks until the app answers; or the reason why not.

use std::time::{Duration, Instant};

use bollard::{
    exec::StartExecResults,
    models::{ContainerInspectResponse, ExecConfig},
};
use futures_util::{StreamExt as _, future::join_all};
use paastech_proto::pomegranate::LogLine;

use crate::{
    engine::{Engine, Owned},
    error::{Error, has_status, is_absent},
    lines::clean_line,
    logs,
    volume::PROBE_PATH,
};

/// How much longer than the probe's own deadline we wait for it.
const SLACK: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(200);
const LAST_LINES: u32 = 30;
const REASON_LIMIT: usize = 1024;

/// How waiting ended.
pub(crate) enum Readiness {
    /// The app answers in every container.
    Ready,
    /// It does not in this one.
    NotReady {
        /// One sentence.
        reason: String,
        /// The last lines it printed.
        last_lines: Vec<LogLine>,
    },
}

/// Waits for all containers of a release at once.
pub(crate) async fn await_ready(
    engine: &Engine,
    containers: &[Owned],
    timeout: Duration,
) -> Result<Readiness, Error> {
    let waits = containers.iter().map(|container| await_one(engine, container, timeout));
    for (container, outcome) in containers.iter().zip(join_all(waits).await) {
        if let Some(reason) = outcome? {
            return not_ready(engine, container, reason).await;
        }
    }
    Ok(Readiness::Ready)
}

/// The answer about a container that does not answer for this reason.
pub(crate) async fn not_ready(
    engine: &Engine,
    container: &Owned,
    reason: String,
) -> Result<Readiness, Error> {
    let last_lines = logs::last_lines(engine, &container.id, LAST_LINES).await?;
    Ok(Readiness::NotReady { reason, last_lines })
}

/// How one run of the probe ended.
enum Probed {
    /// The app answered.
    Answered,
    /// It did not in time, and this is why.
    Diagnosed(String),
    /// The probe was cut off: most likely its container ended.
    CutOff,
}

/// Why the app does not answer, if it does not.
async fn await_one(engine: &Engine, container: &Owned, timeout: Duration) -> Result<Option<String>, Error> {
    let deadline = Instant::now() + timeout;
    loop {
        let found = engine.inspect(&container.id).await?.ok_or(Error::NotFound("release"))?;
        if let Some(reason) = end_reason(&found) {
            return Ok(Some(reason));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left + SLACK, run_probe(engine, container, &found, left)).await {
            Ok(Ok(Probed::Answered)) => return Ok(None),
            Ok(Ok(Probed::Diagnosed(why))) => {
                let found = engine.inspect(&container.id).await?.ok_or(Error::NotFound("release"))?;
                return Ok(Some(end_reason(&found).unwrap_or(why)));
            }
            // The engine may tell the container's end a little later than the probe's, or only the probe was killed
            // for the memory that the app took: look again.
            Ok(Ok(Probed::CutOff)) if left > Duration::ZERO => tokio::time::sleep(PAUSE).await,
            Ok(Err(error)) => return Err(error),
            Ok(Ok(Probed::CutOff)) | Err(_) => return Ok(Some("the app did not answer in time".to_owned())),
        }
    }
}

async fn run_probe(
    engine: &Engine,
    container: &Owned,
    found: &ContainerInspectResponse,
    timeout: Duration,
) -> Result<Probed, Error> {
    let mut command = vec![PROBE_PATH.to_owned(), "await".to_owned()];
    command.extend(["--timeout".to_owned(), timeout.as_secs().to_string()]);
    command.extend(check_arguments(found, container.labels.port));
    let docker = engine.docker().await?;
    let config = ExecConfig {
        cmd: Some(command),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..ExecConfig::default()
    };
    let exec = match docker.create_exec(&container.id, config).await {
        Ok(exec) => exec.id,
        Err(error) if has_status(&error, 409) => return Ok(Probed::CutOff),
        Err(error) => return Err(error.into()),
    };
    let mut text = Vec::new();
    match docker.start_exec(&exec, None).await {
        Ok(StartExecResults::Attached { mut output, .. }) => {
            while let Some(Ok(chunk)) = output.next().await {
                if text.len() < REASON_LIMIT {
                    text.extend_from_slice(&chunk.into_bytes());
                }
            }
        }
        Ok(StartExecResults::Detached) => {}
        Err(error) if has_status(&error, 409) || has_status(&error, 500) => return Ok(Probed::CutOff),
        Err(error) => return Err(error.into()),
    }
    let code = match docker.inspect_exec(&exec).await {
        Ok(exec) => exec.exit_code,
        Err(error) if is_absent(&error) => None,
        Err(error) => return Err(error.into()),
    };
    let text = clean_line(String::from_utf8_lossy(&text).trim(), REASON_LIMIT);
    Ok(match code {
        Some(0) => Probed::Answered,
        Some(1) if !text.is_empty() => Probed::Diagnosed(text),
        _ => Probed::CutOff,
    })
}

/// The health check's own arguments say what to ask: the engine is our only memory.
fn check_arguments(found: &ContainerInspectResponse, port: u16) -> Vec<String> {
    let test = found
        .config
        .as_ref()
        .and_then(|config| config.healthcheck.as_ref())
        .and_then(|check| check.test.clone())
        .unwrap_or_default();
    let mut arguments = vec!["--port".to_owned(), port.to_string()];
    if let Some(at) = test.iter().position(|word| word == "--path") {
        arguments.extend(test[at..].iter().take(2).cloned());
    }
    arguments
}

/// Why a container is not running, if it is not.
pub(crate) fn end_reason(found: &ContainerInspectResponse) -> Option<String> {
    let state = found.state.as_ref()?;
    if state.oom_killed == Some(true) {
        let limit = found.host_config.as_ref().and_then(|host| host.memory).unwrap_or_default() >> 20;
        return Some(format!("out of memory (limit {limit} MiB)"));
    }
    if state.running == Some(true) && state.restarting != Some(true) {
        return None;
    }
    let code = state.exit_code.unwrap_or_default();
    Some(match state.error.as_deref() {
        Some(error) if !error.is_empty() => {
            format!("it could not be started: {}", clean_line(error, REASON_LIMIT))
        }
        _ if code == 126 => "exited with code 126 (the command cannot be executed)".to_owned(),
        _ if code == 127 => "exited with code 127 (the command was not found)".to_owned(),
        _ if code > 128 && code < 160 => format!("exited with code {code} (signal {})", code - 128),
        _ => format!("exited with code {code}"),
    })
}

#[cfg(test)]
mod tests {
    use bollard::models::{ContainerState, HostConfig};

    use super::*;

    fn ended(code: i64, oom: bool) -> Option<String> {
        end_reason(&ContainerInspectResponse {
            state: Some(ContainerState {
                running: Some(false),
                exit_code: Some(code),
                oom_killed: Some(oom),
                ..ContainerState::default()
            }),
            host_config: Some(HostConfig { memory: Some(512 << 20), ..HostConfig::default() }),
            ..ContainerInspectResponse::default()
        })
    }

    #[test]
    fn says_how_a_container_ended() {
        assert_eq!(ended(1, false).as_deref(), Some("exited with code 1"));
        assert_eq!(ended(139, false).as_deref(), Some("exited with code 139 (signal 11)"));
        assert_eq!(ended(137, true).as_deref(), Some("out of memory (limit 512 MiB)"));
    }
}
