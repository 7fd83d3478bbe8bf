//! Following an operation to its end. The operation needs nobody to follow it: Ctrl-C only stops the following.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::{
    api::{Line, Operation},
    context::Context,
    error::{Error, Result},
};

/// How often in a row the connection may fail without a new line before we give up following.
const PATIENCE: usize = 10;
const PAUSE: Duration = Duration::from_millis(500);

/// What to do once an operation was accepted.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Following {
    /// Don't wait for the end
    #[arg(short, long)]
    detach: bool,
}

impl Following {
    /// Follows an accepted operation, or only names it. An answer without an operation changed nothing that runs.
    pub(crate) async fn accepted(self, context: &Context, answer: &Value) -> Result<()> {
        let operation = answer.get("operation").unwrap_or(answer);
        let Some(id) =
            operation.get("id").and_then(Value::as_str).filter(|_| operation.get("state").is_some())
        else {
            return context.output.answer(answer, String::new);
        };
        if self.detach {
            return context
                .output
                .answer(answer, || format!("operation {id}\nfollow it: paastech operation {id} --follow"));
        }
        to_the_end(context, id).await
    }
}

/// Shows an operation's log from its start; succeeds if the operation does.
pub(crate) async fn to_the_end(context: &Context, id: &str) -> Result<()> {
    let body = tokio::select! {
        body = log_until_ended(context, id) => body.map_err(|error| broken_off(id, error))?,
        _ = tokio::signal::ctrl_c() => return Err(Error::StoppedFollowing {
            operation: id.to_owned(),
            why: "stopped following".to_owned(),
            exit_code: 130,
        }),
    };
    let operation: Operation = context.client.decode(&body)?;
    let succeeded = operation.state == "done";
    context.output.answer(&body, || if succeeded { ending(&operation) } else { String::new() })?;
    if succeeded {
        return Ok(());
    }
    let reason = operation.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
    Err(Error::Failed(format!("the {} ended as {}{reason}", operation.kind, operation.state)))
}

/// Shows what an operation's log holds by now.
pub(crate) async fn so_far(context: &Context, id: &str) -> Result<()> {
    lines_from(context, &format!("/v1/operations/{id}/log?follow=false"), &mut 0).await
}

/// Whoever is told that following broke off learns which operation goes on, unless there is none.
fn broken_off(id: &str, error: Error) -> Error {
    match error {
        Error::OutputClosed => error,
        Error::Problem(problem) if problem.status == 404 => Error::Problem(problem),
        error => Error::StoppedFollowing {
            operation: id.to_owned(),
            why: error.to_string(),
            exit_code: error.exit_code(),
        },
    }
}

/// The sentence that ends a success.
fn ending(operation: &Operation) -> String {
    match (operation.kind.as_str(), &operation.url) {
        ("deploy", Some(url)) => format!("live at {url}"),
        ("start", Some(url)) => format!("started: {url}"),
        ("stop", _) => "stopped".to_owned(),
        ("delete", _) => "deleted".to_owned(),
        (kind, _) => format!("{kind} done"),
    }
}

/// Prints the log, across lost connections, and answers the operation's last body.
async fn log_until_ended(context: &Context, id: &str) -> Result<Value> {
    let mut seen = 0;
    let mut failures = 0;
    loop {
        let before = seen;
        let answer = log_once(context, id, &mut seen).await;
        let body = match answer {
            Ok(body) => body,
            Err(error) if error.is_passing() && failures < PATIENCE => {
                failures = if seen > before { 0 } else { failures + 1 };
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        if context.client.decode::<Operation>(&body)?.has_ended() {
            return Ok(body);
        }
        failures = 0;
        tokio::time::sleep(PAUSE).await;
    }
}

/// One connection's worth of log, then the operation as it is.
async fn log_once(context: &Context, id: &str, seen: &mut u64) -> Result<Value> {
    lines_from(context, &format!("/v1/operations/{id}/log?follow=true&from={}", *seen + 1), seen).await?;
    context.client.send(Method::GET, &format!("/v1/operations/{id}"), None).await
}

async fn lines_from(context: &Context, path: &str, seen: &mut u64) -> Result<()> {
    let mut lines = context.client.stream(path).await?;
    while let Some(body) = lines.next().await? {
        let Ok(line) = context.client.decode::<Line>(&body) else { continue };
        if let Some(seq) = line.seq {
            *seen = seq;
        }
        context.output.answer(&body, || line.text.clone())?;
    }
    Ok(())
}
