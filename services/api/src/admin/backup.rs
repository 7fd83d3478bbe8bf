//! `backup`: the database as it is at one moment, then the repositories, which may be ahead of it but never behind.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use paastech_proto::git::{ExportRepositoryRequest, git_controller_client::GitControllerClient};
use paastech_runtime::{Clock, Transport};
use paastech_types::ProjectId;
use tempfile::NamedTempFile;
use time::{OffsetDateTime, macros::format_description};
use tonic::Code;

use super::{
    Installation,
    archive::{HOST_KEY, Name, SECRETS, Writer},
    unless_interrupted,
};
use crate::{
    Neighbours,
    store::{desired, dump},
};

const EXAMPLES: &str = "Example:\n  paastech-admin backup --to /var/backups\n  \
    paastech-admin backup --to - > paastech.tar\n\n\
    Images of apps are not in it. Nor are the keys, without which its secrets open nowhere: keep a copy of the \
    secrets' folder elsewhere, or use --include-secrets and guard the file as you guard them.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Backup {
    /// A folder, where it is named by its time; a file that is not there yet; or - for standard output
    #[arg(long, value_name = "PATH")]
    to: PathBuf,
    /// Put the keys into it too: whoever has the file can then read every secret of every app
    #[arg(long)]
    include_secrets: bool,
    /// Put the logs of builds and deployments into it too
    #[arg(long)]
    include_logs: bool,
}

impl Backup {
    pub(super) async fn run(
        self,
        installation: &Installation,
        neighbours: impl FnOnce() -> Result<Neighbours>,
    ) -> Result<()> {
        installation.ensure_started()?;
        let neighbours = neighbours()?;
        let work = async {
            if self.to == Path::new("-") {
                let to = BufWriter::new(io::stdout().lock());
                return self.write(installation, neighbours, to).await.map(drop);
            }
            let target = self.target(Clock::system().now_ms())?;
            let folder = match target.parent() {
                Some(folder) if folder != Path::new("") => folder,
                _ => Path::new("."),
            };
            let aside = NamedTempFile::new_in(folder).with_context(|| folder.display().to_string())?;
            let file = self.write(installation, neighbours, BufWriter::new(aside)).await?;
            let aside = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            aside.as_file().sync_all()?;
            aside.persist_noclobber(&target).with_context(|| target.display().to_string())?;
            File::open(folder)?.sync_all()?;
            eprintln!("written to {}", target.display());
            Ok(())
        };
        unless_interrupted(work).await?;
        if self.include_secrets {
            eprintln!(
                "WARNING: it holds the installation's keys. Whoever reads it reads every secret of every app."
            );
        } else {
            eprintln!("The keys are not in it: its secrets open only beside a copy of the secrets' folder.");
        }
        Ok(())
    }

    fn target(&self, now: i64) -> Result<PathBuf> {
        if !self.to.is_dir() {
            ensure!(!self.to.exists(), "{} is there already: name another file", self.to.display());
            return Ok(self.to.clone());
        }
        let format = format_description!("paastech-[year][month][day]T[hour][minute][second]Z.tar");
        let now = OffsetDateTime::from_unix_timestamp(now / 1000)?;
        Ok(self.to.join(now.format(&format)?))
    }

    async fn write<W: io::Write>(
        &self,
        installation: &Installation,
        neighbours: Neighbours,
        to: W,
    ) -> Result<W> {
        let config = &installation.config;
        let (db, secrets) = (installation.database().await?, installation.secrets()?);
        let spool =
            || tempfile::tempfile_in(&config.data_dir).with_context(|| config.data_dir.display().to_string());
        let mut tx = db.snapshot().await?;
        let (schema, taken_at) = (dump::schema(&mut tx).await?, Clock::system().now_ms());
        let mut archive = Writer::new(to, schema, taken_at, secrets.instance()?);
        let mut rows = 0;
        for table in dump::TABLES {
            let mut lines = BufWriter::new(spool()?);
            rows += dump::write(&mut tx, table, &mut lines).await?;
            archive.add(Name::Table(table), lines.into_inner().map_err(io::IntoInnerError::into_error)?)?;
        }
        let projects = desired::list_live(&mut tx).await?;
        drop(tx);
        db.close().await;
        let mut repositories = 0;
        for project in &projects {
            let id = project.id()?;
            match export(neighbours.git.clone(), id, spool()?).await? {
                Some(bundle) => archive.add(Name::Repository(id), bundle)?,
                None => {
                    eprintln!("project {id} ({}) has no repository: it is left out", project.slug);
                    continue;
                }
            }
            repositories += 1;
        }
        if self.include_secrets {
            for name in SECRETS {
                let text = match name {
                    HOST_KEY => {
                        installation.host_key.as_ref().map(fs::read_to_string).transpose()?.map(Into::into)
                    }
                    _ => secrets.get(name)?,
                };
                let Some(text) = text else { continue };
                let mut file = spool()?;
                file.write_all(text.as_bytes())?;
                archive.add(Name::Secret(name), file)?;
            }
        }
        if self.include_logs {
            add_logs(&mut archive, &config.data_dir.join("logs"))?;
        }
        let to = archive.finish()?;
        eprintln!("{} projects, {repositories} repositories, {rows} rows", projects.len());
        Ok(to)
    }
}

/// The bundle of a project's repository; None when it has none.
async fn export(
    mut git: GitControllerClient<Transport>,
    project: ProjectId,
    mut to: File,
) -> Result<Option<File>> {
    let what = || format!("the repository of project {project} cannot be copied");
    let request = ExportRepositoryRequest { project_id: project.to_string() };
    let mut parts = match git.export_repository(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) if status.code() == Code::NotFound => return Ok(None),
        Err(status) => return Err(status).with_context(what),
    };
    let mut ended = false;
    while let Some(part) = parts.message().await.with_context(what)? {
        to.write_all(&part.chunk)?;
        ended = part.end;
    }
    ensure!(ended, "{}: it was cut off", what());
    Ok(Some(to))
}

fn add_logs<W: io::Write>(archive: &mut Writer<W>, folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let id = path.extension().filter(|end| *end == "jsonl").and(path.file_stem());
        let Some(id) = id.and_then(|id| id.to_str()).and_then(|id| id.parse().ok()) else { continue };
        // A copy: one that grows meanwhile would not be as long as its header says.
        let mut copy = tempfile::tempfile_in(folder)?;
        io::copy(&mut File::open(&path)?, &mut copy)?;
        archive.add(Name::Log(id), copy)?;
    }
    Ok(())
}
