//! `logs`: what the app writes.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::{api::Line, client::encode, context::Context, error::Result};

/// Show what the app writes to stdout and stderr
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech logs --follow --tail 20\n  paastech logs --since 10m --json")]
pub(crate) struct Logs {
    /// Go on showing new lines
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "N")]
    tail: Option<u32>,
    /// Only lines newer than this, such as 90s, 10m, 2h, 1d
    #[arg(long, value_name = "AGE", value_parser = age)]
    since: Option<Duration>,
}

impl Logs {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        let path = context.project_path(&format!("/logs?{}", self.query()))?;
        let mut lines = context.client.stream(&path).await?;
        while let Some(body) = lines.next().await {
            show(context, &body)?;
        }
        Ok(())
    }

    fn query(&self) -> String {
        let mut query = format!("follow={}", self.follow);
        if let Some(tail) = self.tail {
            query.push_str(&format!("&tail={tail}"));
        }
        if let Some(age) = self.since {
            let at = crate::when::now() - i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            query.push_str(&format!("&since={}", encode(&at.max(0).to_string())));
        }
        query
    }
}

fn show(context: &Context, body: &Value) -> Result<()> {
    let Ok(line) = context.client.decode::<Line>(body) else { return Ok(()) };
    context.output.answer(body, || match &line.container {
        Some(container) => format!("{container} | {}", line.text),
        None => line.text.clone(),
    })
}

fn age(text: &str) -> Result<Duration, String> {
    let wrong = || "is a number with s, m, h or d behind it".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_a_unit() {
        assert_eq!(age("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(age("2h"), Ok(Duration::from_secs(7_200)));
        for text in ["", "5", "m", "5w", "-5m", "5é", "99999999999999999999d", "9999999999999999999d"] {
            assert!(age(text).is_err(), "{text}");
        }
    }
}
