//! The command line: a subcommand and `--name value` pairs.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::check::Target;

const USAGE: &str =
    "usage: probe await --port N --timeout SECONDS [--path /x] | probe held --port N --gate FILE [--path /x]";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Block until the app answers or the time is up.
    Await {
        /// What to ask.
        target: Target,
        /// How long.
        timeout: Duration,
    },
    /// Be the health check.
    Held {
        /// What to ask.
        target: Target,
        /// The file whose presence lets traffic in.
        gate: PathBuf,
    },
}

/// Reads the arguments after the program's name.
pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Command, String> {
    let command = words.next().ok_or(USAGE)?;
    let mut options = BTreeMap::new();
    while let Some(name) = words.next() {
        options.insert(name, words.next().ok_or(USAGE)?);
    }
    let mut take = |name: &str| options.remove(name);
    let port = take("--port").and_then(|text| text.parse().ok()).filter(|port| *port > 0).ok_or(USAGE)?;
    let target = Target { port, path: take("--path") };
    let parsed = match command.as_str() {
        "await" => {
            let seconds = take("--timeout").and_then(|text| text.parse().ok()).ok_or(USAGE)?;
            Command::Await { target, timeout: Duration::from_secs(seconds) }
        }
        "held" => Command::Held { target, gate: take("--gate").ok_or(USAGE)?.into() },
        _ => return Err(USAGE.to_owned()),
    };
    if options.is_empty() { Ok(parsed) } else { Err(USAGE.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn reads_both_commands() {
        assert_eq!(
            parse_line("await --port 80 --timeout 5 --path /up"),
            Ok(Command::Await {
                target: Target { port: 80, path: Some("/up".to_owned()) },
                timeout: Duration::from_secs(5)
            })
        );
        assert_eq!(
            parse_line("held --gate /g --port 8080"),
            Ok(Command::Held { target: Target { port: 8080, path: None }, gate: "/g".into() })
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for line in [
            "",
            "await",
            "held --port 1",
            "await --port 0 --timeout 1",
            "await --port 70000 --timeout 1",
            "x --port 1",
            "held --port 1 --gate /g --more 1",
            "held --port",
        ] {
            assert!(parse_line(line).is_err(), "{line}");
        }
    }
}
