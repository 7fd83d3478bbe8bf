//! `cargo xtask test`: every check and every test, in order, each part also alone, with totals at the end.

mod acme;
mod compose;
mod config;
mod crates;
mod fuzz;
mod leftovers;
mod lints;
mod previous;
mod programs;
mod python;
mod ssh_audit;
mod suite;
mod tally;
mod tidy;
mod workflows;

use std::time::Instant;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::{interrupt, progress::duration};
use suite::Suite;
use tally::Tally;

const EXAMPLES: &str = "Examples:\n  \
    cargo xtask test                 # everything\n  \
    cargo xtask test fmt clippy      # some parts\n  \
    cargo xtask test --list          # what the parts are";

pub(crate) use lints::audit;

/// What to test.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// The parts to run [default: all, in order]
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// List the parts
    #[arg(long)]
    list: bool,
}

/// A part of the whole, in the order in which they run: quick ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Formatting
    Fmt,
    /// The project's own rules on files
    Tidy,
    /// Lints, warnings denied
    Clippy,
    /// Licences, sources and banned crates of the dependencies
    Deny,
    /// Lints of the workflows in .github
    Workflows,
    /// Unit tests
    Unit,
    /// Store and service tests on SQLite
    Sqlite,
    /// Store and service tests on a throw-away PostgreSQL
    Postgres,
    /// The configuration files in deploy/config
    Config,
    /// Real git, ssh and containers, against one process and against four
    E2e,
    /// The same against the separate services under docker-compose; with Traefik where TRAEFIK_BIN names one
    Compose,
    /// Schemathesis over every route of the API
    Fuzz,
    /// ssh-audit on the SSH server
    SshAudit,
    /// Nothing is left in the engine, among the processes and in the temporary directory
    Leftovers,
}

impl Part {
    async fn run(self, suite: &mut Suite, tally: &mut Tally) -> Result<()> {
        match self {
            Self::Fmt => lints::fmt(tally).await,
            Self::Tidy => tidy::run(tally).await,
            Self::Clippy => lints::clippy(tally).await,
            Self::Deny => lints::deny(tally).await,
            Self::Workflows => workflows::run(tally).await,
            Self::Unit => crates::unit(suite, tally).await,
            Self::Sqlite => crates::sqlite(suite, tally).await,
            Self::Postgres => crates::postgres(suite, tally).await,
            Self::Config => config::run(suite, tally).await,
            Self::E2e => crates::e2e(suite, tally).await,
            Self::Compose => compose::run(suite, tally).await,
            Self::Fuzz => fuzz::run(suite, tally).await,
            Self::SshAudit => ssh_audit::run(suite, tally).await,
            Self::Leftovers => leftovers::run(suite, tally).await,
        }
    }

    fn name(self) -> String {
        self.to_possible_value().expect("no part is hidden").get_name().to_owned()
    }
}

/// Runs the parts; fails when anything did.
pub(crate) async fn run(options: Options) -> Result<()> {
    if options.list {
        for part in Part::value_variants() {
            let value = part.to_possible_value().expect("no part is hidden");
            println!(
                "{:<10} {}",
                value.get_name(),
                value.get_help().map(ToString::to_string).unwrap_or_default()
            );
        }
        return Ok(());
    }
    let mut parts = options.parts;
    if parts.is_empty() {
        parts = Part::value_variants().to_vec();
    }
    all(parts).await
}

/// The scenarios against an installation, as `install --test` has them.
pub(crate) async fn compose_alone() -> Result<()> {
    all(vec![Part::Compose]).await
}

async fn all(mut parts: Vec<Part>) -> Result<()> {
    if !parts.contains(&Part::Leftovers) {
        parts.push(Part::Leftovers);
    }
    let start = Instant::now();
    let mut suite = Suite::new()?;
    let mut tally = Tally::default();
    let outcome = run_parts(&parts, &mut suite, &mut tally).await;
    suite.stop().await?;
    outcome?;
    tally.print_failures();
    println!(
        "\n{} passed, {} failed, {} skipped\nTook {}",
        tally.passed,
        tally.failed(),
        tally.ignored,
        duration(start.elapsed())
    );
    if tally.failed() > 0 {
        bail!("{} failed", tally.failed());
    }
    Ok(())
}

async fn run_parts(parts: &[Part], suite: &mut Suite, tally: &mut Tally) -> Result<()> {
    for part in parts {
        let (name, start) = (part.name(), Instant::now());
        println!("\n== {name}");
        let before = (tally.passed, tally.failed());
        if *part == Part::Leftovers {
            // What it looks for includes the suite's own database.
            suite.stop().await?;
        }
        if let Err(error) = part.run(suite, tally).await {
            interrupt::check()?;
            tally.fail(&name, &format!("{error:#}"));
        }
        let (passed, failed) = (tally.passed - before.0, tally.failed() - before.1);
        println!("== {name}: {passed} passed, {failed} failed ({})", duration(start.elapsed()));
        if suite.broken {
            println!("The tests do not compile: no other part is run.");
            break;
        }
    }
    Ok(())
}
