//! `logs`: what the app writes.

use std::{collections::HashMap, time::Duration};

use clap::Args;
use serde_json::Value;

use crate::{
    api::{Line, short_container},
    context::Context,
    error::Result,
    when,
};

/// How often in a row following may meet no answer before it is given up.
const PATIENCE: usize = 30;
const PAUSE: Duration = Duration::from_secs(1);

/// Show what the app writes to stdout and stderr
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech logs --follow --tail 20\n  paastech logs --since 10m --json")]
pub(crate) struct Logs {
    /// Go on showing new lines, of later releases too
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines of each container; 0 shows all [default: 100, or all with --since]
    #[arg(long, value_name = "N")]
    tail: Option<u32>,
    /// Only lines newer than this, such as 90s, 10m, 2h, 1d
    #[arg(long, value_name = "AGE", value_parser = age)]
    since: Option<Duration>,
}

impl Logs {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        let mut shown = Shown::default();
        let mut query = self.query();
        let mut failures = 0;
        loop {
            let answer = show(context, &query, &mut shown).await;
            if !self.follow {
                return answer;
            }
            // A stream ends with its containers; the next release's come with a new one.
            match answer {
                Ok(()) => failures = 0,
                Err(error) if error.is_passing() && failures < PATIENCE => failures += 1,
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PAUSE).await;
            if let Some(newest) = shown.newest() {
                query = format!("follow=true&tail=0&since={newest}");
            }
        }
    }

    fn query(&self) -> String {
        let mut query = format!("follow={}", self.follow);
        if let Some(tail) = self.tail.or(self.since.map(|_| 0)) {
            query.push_str(&format!("&tail={tail}"));
        }
        if let Some(age) = self.since {
            let since = when::now() - i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            query.push_str(&format!("&since={}", since.max(0)));
        }
        query
    }
}

/// Shows one stream to its end, without what was shown before.
async fn show(context: &Context, query: &str, shown: &mut Shown) -> Result<()> {
    let mut lines = context.client.stream(&context.project_path(&format!("/logs?{query}"))?).await?;
    shown.begin();
    while let Some(body) = lines.next().await? {
        if let Ok(line) = context.client.decode::<Line>(&body)
            && shown.is_new(&line)
        {
            print(context, &body, &line)?;
        }
    }
    Ok(())
}

fn print(context: &Context, body: &Value, line: &Line) -> Result<()> {
    context.output.answer(body, || match &line.container {
        Some(container) => format!("{} | {}", short_container(container), line.text),
        None => line.text.clone(),
    })
}

/// How far each container's lines were shown: a new stream can only begin with a time, not behind a line.
#[derive(Debug, Default)]
struct Shown(HashMap<String, Mark>);

#[derive(Debug, Default, Clone)]
struct Mark {
    /// The newest line's time.
    at: i64,
    /// How many lines have that time.
    lines: usize,
    /// How many of them the new stream is still to repeat, and up to which time.
    repeats: usize,
    until: i64,
}

impl Shown {
    fn begin(&mut self) {
        for mark in self.0.values_mut() {
            (mark.repeats, mark.until) = (mark.lines, mark.at);
        }
    }

    fn is_new(&mut self, line: &Line) -> bool {
        let mark = self.0.entry(line.container.clone().unwrap_or_default()).or_default();
        if line.at < mark.until {
            return false;
        }
        if line.at == mark.until && mark.repeats > 0 {
            mark.repeats -= 1;
            return false;
        }
        if line.at > mark.at {
            (mark.at, mark.lines) = (line.at, 0);
        }
        if line.at == mark.at {
            mark.lines += 1;
        }
        true
    }

    fn newest(&self) -> Option<i64> {
        self.0.values().map(|mark| mark.at).max()
    }
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

    #[test]
    fn a_new_stream_repeats_nothing_and_loses_nothing() {
        let line =
            |at, text: &str| Line { seq: None, at, container: Some("c".to_owned()), text: text.to_owned() };
        let mut shown = Shown::default();
        shown.begin();
        assert!([line(1, "a"), line(2, "b"), line(2, "b")].iter().all(|line| shown.is_new(line)));
        assert_eq!(shown.newest(), Some(2));
        shown.begin();
        let again = [line(1, "a"), line(2, "b"), line(2, "b"), line(2, "b"), line(3, "c")];
        assert_eq!(again.each_ref().map(|line| shown.is_new(line)), [false, false, false, true, true]);
    }
}
