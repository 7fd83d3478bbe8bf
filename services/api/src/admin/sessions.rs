//! `sessions`.

use anyhow::{Result, bail, ensure};
use clap::{Args, Subcommand};
use paastech_runtime::Clock;
use paastech_types::{EmailAddress, SessionId};
use serde_json::json;

use super::{Installation, table, when};
use crate::store::session;

#[derive(Debug, Subcommand)]
pub enum Sessions {
    /// List the sessions that still count
    List(List),
    /// End sessions: their tokens are refused from now on
    Revoke(Revoke),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech-admin sessions list --email ada@example.org")]
pub struct List {
    /// Only this account's
    #[arg(long)]
    email: Option<EmailAddress>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech-admin sessions revoke --email ada@example.org")]
#[group(required = true, multiple = false)]
pub struct Revoke {
    /// The session, as `sessions list` names it
    id: Option<SessionId>,
    /// All of this account
    #[arg(long)]
    email: Option<EmailAddress>,
    /// Everybody's
    #[arg(long)]
    all: bool,
}

impl Sessions {
    pub(super) async fn run(self, installation: &Installation) -> Result<()> {
        match self {
            Self::List(command) => command.run(installation).await,
            Self::Revoke(command) => command.run(installation).await,
        }
    }
}

impl List {
    async fn run(self, installation: &Installation) -> Result<()> {
        let db = installation.database().await?;
        let email = lower(self.email.as_ref());
        let rows = session::list_live(&mut db.read().await?, &email, Clock::system().now_ms()).await?;
        db.close().await;
        if self.json {
            let rows = rows.iter().map(|row| {
                json!({ "id": row.id, "email": row.email, "created_at": row.created_at, "expires_at": row.expires_at })
            });
            println!("{}", json!(rows.collect::<Vec<_>>()));
            return Ok(());
        }
        let rows: Vec<_> = rows
            .into_iter()
            .map(|row| [row.id, row.email, when(row.created_at), when(row.expires_at)])
            .collect();
        print!("{}", table(["ID", "ACCOUNT", "SINCE", "UNTIL"], &rows));
        Ok(())
    }
}

impl Revoke {
    async fn run(self, installation: &Installation) -> Result<()> {
        let (db, now) = (installation.database().await?, Clock::system().now_ms());
        let mut tx = db.begin().await?;
        let mut live = session::list_live(&mut tx, &lower(self.email.as_ref()), now).await?;
        if let Some(id) = self.id {
            live.retain(|row| row.id == id.to_string());
            ensure!(!live.is_empty(), "no session that still counts is {id}: see `sessions list`");
        }
        for row in &live {
            let Ok(id) = row.id.parse() else { bail!("a stored session has no id") };
            session::revoke(&mut tx, id, now).await?;
        }
        tx.commit().await?;
        db.close().await;
        println!("{} session(s) ended", live.len());
        Ok(())
    }
}

fn lower(email: Option<&EmailAddress>) -> String {
    email.map(|email| email.as_str().to_lowercase()).unwrap_or_default()
}
