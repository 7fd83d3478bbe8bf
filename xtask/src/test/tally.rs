//! Passed, failed, ignored: the sum over the test programs' own totals and our own checks.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::{sleep, timeout},
};

use crate::interrupt;

/// No program of tests takes longer, unless it hangs; the scenarios under docker-compose take 20 on a slow machine.
const LONGEST: Duration = Duration::from_mins(40);
/// After a signal, that of the limit too, tests have this long to end.
const GRACE: Duration = Duration::from_secs(60);

/// The totals so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Checks and tests that passed.
    pub(crate) passed: usize,
    /// Tests that were skipped on purpose.
    pub(crate) ignored: usize,
    failures: Vec<String>,
}

impl Tally {
    /// Counts a check that passed.
    pub(crate) fn pass(&mut self, name: &str) {
        println!("ok: {name}");
        self.passed += 1;
    }

    /// Counts a check that failed, and says why.
    pub(crate) fn fail(&mut self, name: &str, why: &str) {
        println!("FAILED: {name}: {why}");
        self.failures.push(name.to_owned());
    }

    /// Counts a check by whether it found anything wrong.
    pub(crate) fn check(&mut self, name: &str, wrong: &[String]) {
        if wrong.is_empty() {
            self.pass(name);
        } else {
            self.fail(name, &wrong.join("\n  "));
        }
    }

    /// How many failed.
    pub(crate) fn failed(&self) -> usize {
        self.failures.len()
    }

    /// Names what failed, once more.
    pub(crate) fn print_failures(&self) {
        if !self.failures.is_empty() {
            println!("\nfailed:\n  {}", self.failures.join("\n  "));
        }
    }

    /// Runs one check that is a command: it passes when the command does.
    pub(crate) async fn command(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let status = crate::process::status(command).await?;
        if status.success() {
            self.pass(name);
        } else {
            self.fail(name, &status.to_string());
        }
        Ok(())
    }

    /// Runs a program of tests and adds its totals. One that ends badly without a failed test is itself a failure.
    pub(crate) async fn tests(&mut self, name: &str, command: &mut Command) -> Result<()> {
        interrupt::check()?;
        let failed_before = self.failed();
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start the tests")?;
        println!("-- {name}");
        let id = child.id();
        let _registered = id.map(interrupt::Registered::new);
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let status = {
            let ended = async {
                while let Some(line) = lines.next_line().await? {
                    self.read_line(name, &line);
                }
                anyhow::Ok(child.wait().await?)
            };
            tokio::pin!(ended);
            tokio::select! {
                status = &mut ended => status?,
                () = sleep(LONGEST) => {
                    if let Some(id) = id.and_then(|id| Pid::from_raw(id.cast_signed())) {
                        kill_process(id, Signal::TERM)?;
                    }
                    drop(timeout(GRACE, ended).await);
                    bail!("{name} takes too long")
                }
                () = async { interrupt::wait().await; sleep(GRACE).await } => bail!("interrupted"),
            }
        };
        interrupt::check()?;
        if !status.success() && self.failed() == failed_before {
            self.fail(name, &status.to_string());
        }
        Ok(())
    }

    fn read_line(&mut self, name: &str, line: &str) {
        match Line::parse(line) {
            Line::Failed(test) => self.failures.push(format!("{name}: {test}")),
            Line::Result { passed, ignored } => {
                self.passed += passed;
                self.ignored += ignored;
            }
            Line::Other => {}
        }
        println!("{line}");
    }
}

/// What a line of libtest's output means to us.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Failed(&'a str),
    Result { passed: usize, ignored: usize },
    Other,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Self {
        if let Some(totals) = line.strip_prefix("test result: ") {
            let number = |word: &str| {
                let part = totals.split([';', '.']).find_map(|part| part.trim().strip_suffix(word));
                part.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
            };
            return Self::Result { passed: number("passed"), ignored: number("ignored") };
        }
        match line.strip_prefix("test ").and_then(|rest| rest.strip_suffix("... FAILED")) {
            Some(test) => Self::Failed(test.trim_end()),
            None => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read_from_the_result_line() {
        let line = "test result: FAILED. 12 passed; 1 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(Line::parse(line), Line::Result { passed: 12, ignored: 3 });
        assert_eq!(Line::parse("test a::b ... FAILED"), Line::Failed("a::b"));
        assert_eq!(Line::parse("test a::b ... ok"), Line::Other);
    }

    #[tokio::test]
    async fn a_command_that_fails_without_a_failed_test_is_counted() {
        let mut tally = Tally::default();
        tally.tests("part", &mut crate::process::argv(["false"])).await.unwrap();
        assert_eq!(tally.failed(), 1);
    }

    #[test]
    fn each_failed_test_is_counted_once() {
        let mut tally = Tally::default();
        tally.read_line("unit", "test a ... FAILED");
        tally.read_line("unit", "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured");
        assert_eq!((tally.passed, tally.failed()), (2, 1));
    }
}
