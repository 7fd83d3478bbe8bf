//! `doctor`: what is asked once, and a list of small checks on it, each in a file of its own.

mod api;
mod certificates;
mod clock;
mod containers;
mod database;
mod disks;
mod keys;
mod neighbours;
mod operations;
mod repositories;

use std::{collections::HashMap, process::ExitCode};

use anyhow::Result;
use clap::Args;
use paastech_db::{Database, DbError};
use paastech_proto::{
    git::ListRepositoriesRequest,
    pomegranate::{ListRequest, ListResponse},
};
use paastech_runtime::Clock;
use serde::Serialize;

use super::Installation;
use crate::{
    Neighbours,
    store::{desired, operation, release},
};

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  paastech-admin doctor\n\nThe exit code is 1 when something is to be done."
)]
pub struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    /// Something will go wrong.
    Warning,
    /// Something is wrong.
    Error,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    level: Level,
    what: String,
    /// What to do about it; empty when nothing is to be done.
    next: String,
}

impl Finding {
    fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, what: what.into(), next: String::new() }
    }

    fn warning(check: &'static str, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { check, level: Level::Warning, what: what.into(), next: next.into() }
    }

    fn error(check: &'static str, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { check, level: Level::Error, what: what.into(), next: next.into() }
    }
}

/// What several checks look at; what did not answer says why.
struct Facts<'a> {
    installation: &'a Installation,
    now: i64,
    database: Result<Rows, String>,
    repositories: Result<Vec<String>, String>,
    engine: Result<ListResponse, String>,
}

/// What the database says.
struct Rows {
    /// The number of its newest migration.
    schema: i64,
    /// Its clock, where it has one of its own, and this program's at the same moment.
    clocks: Option<(i64, i64)>,
    projects: Vec<desired::Row>,
    /// `(project, key)`.
    data_keys: Vec<(paastech_types::ProjectId, String)>,
    /// The project of each release.
    releases: HashMap<String, String>,
    open: Vec<operation::Open>,
}

impl Doctor {
    pub(super) async fn run(
        self,
        installation: &Installation,
        neighbours: impl FnOnce() -> Result<Neighbours>,
    ) -> Result<ExitCode> {
        let facts = Facts::gather(installation, neighbours).await;
        let findings = examine(&facts).await;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&findings)?);
        } else {
            findings.iter().for_each(print);
        }
        let well = findings.iter().all(|finding| finding.level == Level::Ok);
        Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Every check, in the order in which one would look.
async fn examine(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("configuration", "can be read")];
    findings.push(database::check(facts));
    findings.extend(clock::check(facts));
    findings.extend(keys::check(facts));
    findings.push(api::check(facts).await);
    findings.extend(neighbours::check(facts));
    findings.extend(disks::check(facts));
    findings.extend(certificates::check(facts));
    findings.extend(operations::check(facts));
    findings.extend(repositories::check(facts));
    findings.extend(containers::check(facts));
    findings
}

fn print(finding: &Finding) {
    let level = match finding.level {
        Level::Ok => "ok     ",
        Level::Warning => "WARNING",
        Level::Error => "ERROR  ",
    };
    println!("{level}  {}: {}", finding.check, finding.what);
    if !finding.next.is_empty() {
        println!("         -> {}", finding.next);
    }
}

impl<'a> Facts<'a> {
    async fn gather(installation: &'a Installation, neighbours: impl FnOnce() -> Result<Neighbours>) -> Self {
        let (repositories, engine) = match installation.ensure_started().and_then(|()| neighbours()) {
            Ok(mut neighbours) => {
                let repositories = neighbours.git.list_repositories(ListRepositoriesRequest {}).await;
                let engine = neighbours.pomegranate.list(ListRequest {}).await;
                (
                    repositories
                        .map(|answer| answer.into_inner().project_ids)
                        .map_err(|status| status.message().to_owned()),
                    engine.map(tonic::Response::into_inner).map_err(|status| status.message().to_owned()),
                )
            }
            Err(error) => (Err(format!("{error:#}")), Err(format!("{error:#}"))),
        };
        // After the others: what they hold and what is not here was removed meanwhile, and not the other way round.
        let database = rows(installation).await.map_err(|error| format!("{error:#}"));
        Self { installation, now: Clock::system().now_ms(), database, repositories, engine }
    }
}

async fn rows(installation: &Installation) -> Result<Rows> {
    let db = installation.database_as_it_is().await?;
    let rows = read(&db).await;
    db.close().await;
    Ok(rows?)
}

async fn read(db: &Database) -> Result<Rows, DbError> {
    let clocks = db.clock_ms().await?.map(|theirs| (theirs, Clock::system().now_ms()));
    let mut tx = db.snapshot().await?;
    Ok(Rows {
        clocks,
        schema: crate::store::dump::schema(&mut tx).await?,
        projects: desired::list_live(&mut tx).await?,
        data_keys: crate::store::project::list_data_keys(&mut tx).await?,
        releases: release::list_ids(&mut tx).await?.into_iter().collect(),
        open: operation::list_leases(&mut tx).await?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installation() -> Installation {
        Installation { config: crate::Config::default(), tls: None, folders: Vec::new(), host_key: None }
    }

    fn facts(installation: &Installation, database: Result<Rows, String>) -> Facts<'_> {
        let (repositories, engine) = (Ok(Vec::new()), Ok(ListResponse::default()));
        Facts { installation, now: 90_000, database, repositories, engine }
    }

    #[test]
    fn nothing_is_said_of_what_a_database_that_does_not_answer_would_tell() {
        let installation = installation();
        let facts = facts(&installation, Err("it is down".to_owned()));
        assert_eq!(database::check(&facts).level, Level::Error);
        assert_eq!((clock::check(&facts), keys::check(&facts)), (None, None));
    }

    #[test]
    fn clocks_are_compared_as_they_were_at_one_moment() {
        let installation = installation();
        for (ours, level) in [(10_001, Level::Ok), (15_000, Level::Warning), (70_000, Level::Error)] {
            let rows = Rows {
                schema: 1,
                clocks: Some((10_000, ours)),
                projects: Vec::new(),
                data_keys: Vec::new(),
                releases: HashMap::new(),
                open: Vec::new(),
            };
            let found = clock::check(&facts(&installation, Ok(rows))).expect("a finding");
            assert_eq!(found.level, level, "{found:?}");
        }
    }
}
