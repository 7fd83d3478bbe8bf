//! What an operator does to an installation, on its own configuration and database: `paastech-admin`, and
//! `paastechd admin`.

mod accounts;
mod archive;
mod backup;
mod doctor;
mod restore;
mod rotate;
mod schema;
mod sessions;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Subcommand;
use paastech_db::Database;
use paastech_runtime::{SecretFiles, TlsConfig};
use rustix::{fs::stat, process::geteuid};
use time::{OffsetDateTime, macros::format_description};
use tokio::signal::unix::{SignalKind, signal};

use crate::{Config, Neighbours, store::dump};

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an administrator's account
    CreateAdmin(accounts::CreateAdmin),
    /// Set an account's password, and end its sessions
    ResetPassword(accounts::ResetPassword),
    /// See who is logged in, and end sessions
    #[command(subcommand)]
    Sessions(sessions::Sessions),
    /// Replace a secret of the installation, while it runs
    #[command(subcommand)]
    RotateSecrets(rotate::RotateSecrets),
    /// Find what is wrong, and say what to do about it
    Doctor(doctor::Doctor),
    /// Copy the database and the repositories into one file, while the installation runs
    Backup(backup::Backup),
    /// Put a backup in the place of an installation that is stopped
    Restore(restore::Restore),
}

/// The installation that it is done to.
pub struct Installation {
    /// The api's configuration.
    pub config: Config,
    /// The certificate that its services show, where they have one.
    pub tls: Option<TlsConfig>,
    /// Folders of other services that this process can see.
    pub folders: Vec<PathBuf>,
    /// The SSH server's host key, where this process can see it.
    pub host_key: Option<PathBuf>,
}

/// Does it; the exit code says whether all is well. The neighbours are made only when they are needed, for they make
/// folders of their own: where nothing is installed, a restore alone has them.
///
/// # Errors
/// Why not, and what to do next.
pub async fn run(
    command: Command,
    installation: Installation,
    neighbours: impl FnOnce() -> Result<Neighbours>,
) -> Result<ExitCode> {
    match command {
        Command::CreateAdmin(command) => command.run(&installation).await?,
        Command::ResetPassword(command) => command.run(&installation).await?,
        Command::Sessions(command) => command.run(&installation).await?,
        Command::RotateSecrets(command) => command.run(&installation).await?,
        Command::Doctor(command) => return command.run(&installation, neighbours).await,
        Command::Backup(command) => command.run(&installation, neighbours).await?,
        Command::Restore(command) => command.run(&installation, neighbours).await?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Installation {
    /// Refuses where nothing has been started yet: what is made there by root is root's.
    fn ensure_started(&self) -> Result<()> {
        let sign = self.config.database_file().unwrap_or_else(|| self.config.secrets_dir());
        ensure!(
            sign.exists(),
            "there is no installation in {} ({} is missing): start PaaSTech once, or restore a backup",
            self.config.data_dir.display(),
            sign.display()
        );
        Ok(())
    }

    /// Its database, whose schema must be this program's: the api that runs may be older, or newer.
    async fn database(&self) -> Result<Database> {
        let db = self.database_as_it_is().await?;
        let schema = dump::schema(&mut db.read().await?).await?;
        if let Some((what, next)) = schema::objection(schema) {
            db.close().await;
            bail!("the database cannot be used: {what}: {next}");
        }
        Ok(db)
    }

    /// Its database, whatever its schema.
    async fn database_as_it_is(&self) -> Result<Database> {
        self.ensure_started()?;
        let url = self.config.database_url();
        Database::connect(url.expose()).await.context("the database cannot be opened")
    }

    fn secrets(&self) -> Result<SecretFiles> {
        let dir = self.config.secrets_dir();
        ensure!(
            dir.is_dir(),
            "there are no secrets in {}: start PaaSTech once, or restore a backup",
            dir.display()
        );
        Ok(SecretFiles::ensure(dir)?)
    }

    /// What is written here must belong to whoever runs the installation.
    fn ensure_owner(&self) -> Result<()> {
        let Ok(found) = stat(&self.config.data_dir) else { return Ok(()) };
        let (dir, owner) = (self.config.data_dir.display(), found.st_uid);
        ensure!(
            geteuid().as_raw() == owner,
            "{dir} belongs to user {owner}: run this as that user, with \
             `setpriv --reuid={owner} --regid={} --clear-groups …`",
            found.st_gid
        );
        Ok(())
    }
}

/// The work, whose drop undoes it when the operator or the system ends the program.
async fn unless_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminated.recv() => bail!("terminated"),
    }
}

/// A time for people, in UTC.
fn when(ms: i64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]");
    let at = OffsetDateTime::from_unix_timestamp(ms / 1000).ok().and_then(|at| at.format(&format).ok());
    at.unwrap_or_else(|| ms.to_string())
}

/// Rows under their titles, each column as wide as its widest text.
fn table<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> String {
    let width = |at: usize| {
        let widest = rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
        widest.max(titles[at].len())
    };
    let titles = titles.map(str::to_owned);
    let mut text = String::new();
    for row in [&titles].into_iter().chain(rows) {
        let cells = row.iter().enumerate().map(|(at, cell)| format!("{cell:<0$}", width(at)));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The first line of standard input, without its end.
fn read_password() -> Result<paastech_runtime::Secret> {
    let mut text = zeroize::Zeroizing::new(String::new());
    std::io::stdin().read_line(&mut text).context("standard input")?;
    Ok(paastech_runtime::Secret::new(text.trim_end_matches(['\r', '\n'])))
}
