//! `restore`: the file's sums, schema, rows and keys are checked before anything is changed. Whether the rows fit and the
//! repositories can be unpacked shows on the way: the database is committed behind both, and one that fails is run again.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, BufRead, BufReader, Read, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use futures_util::{Stream, StreamExt as _, stream};
use paastech_db::Tx;
use paastech_proto::git::{
    ImportEnd, ImportHeader, ImportRepositoryRequest, ListRepositoriesRequest, Scope,
    git_controller_client::GitControllerClient, import_repository_request::Part,
};
use paastech_runtime::{Clock, SecretFiles, Transport, chunks::CHUNK, secrets::parse_key};
use paastech_types::{OperationId, ProjectId};
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use zeroize::Zeroizing;

use super::{
    Installation,
    archive::{Checked, HOST_KEY, Name, SECRETS},
    unless_interrupted, when,
};
use crate::{
    Neighbours, secrets, service,
    store::{desired, dump},
};

const EXAMPLES: &str = "Example:\n  paastech-admin restore --from /var/backups/paastech-20261122T230000Z.tar\n\n\
    Stop PaaSTech first; of separate services, all but the git-controller and the database.";
/// One row.
const MAX_LINE: u64 = 64 << 20;
/// One secret.
const MAX_SECRET: u64 = 64 << 10;
/// One repository.
const IMPORT: Duration = Duration::from_secs(3600);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Restore {
    /// The file of a backup, or - for standard input
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Replace the accounts, projects and repositories that are there; repositories of projects that the backup lacks stay
    #[arg(long)]
    force: bool,
}

impl Restore {
    pub(super) async fn run(
        self,
        installation: &Installation,
        neighbours: impl FnOnce() -> Result<Neighbours>,
    ) -> Result<()> {
        installation.ensure_owner()?;
        unless_interrupted(self.restore(installation, neighbours()?)).await
    }

    async fn restore(&self, installation: &Installation, neighbours: Neighbours) -> Result<()> {
        let config = &installation.config;
        private_dir(&config.data_dir)?;
        let file = open(&self.from, &config.data_dir)?;
        let archive =
            Checked::open(file).with_context(|| format!("{} cannot be restored", self.from.display()))?;
        let (schema, known) = (archive.manifest.schema, service::newest_schema());
        ensure!(
            schema <= known,
            "the backup was made by a newer PaaSTech (schema {schema}, this one knows {known}): upgrade this one first"
        );
        for table in dump::TABLES {
            rows(&archive, table)?.try_for_each(|row| row.map(drop))?;
        }
        let files = SecretFiles::ensure(config.secrets_dir())?;
        check_keys(&archive, &files, &config.secrets_dir())?;
        let _alone = service::lock_out(config)?;
        let listed = neighbours.git.clone().list_repositories(ListRepositoriesRequest {}).await;
        listed.context("the git-controller does not answer: start it, and nothing else but the database")?;
        let db = service::open_database(config).await?;
        let now = Clock::system().now_ms();
        let mut tx = db.begin_long().await?;
        ensure!(
            self.force || dump::is_unused(&mut tx).await?,
            "there are accounts or projects in this installation: --force replaces them"
        );
        load(&mut tx, &archive, now).await?;
        let projects = desired::list_live(&mut tx).await?;
        let mut repositories = 0;
        for project in &projects {
            repositories += usize::from(import(neighbours.git.clone(), &archive, project).await?);
        }
        put_logs(&archive, &config.data_dir.join("logs"))?;
        tx.commit().await?;
        db.close().await;
        // After the rows: those of before are sealed by what is replaced here.
        put_secrets(&archive, &files, installation)
            .context("the rows are restored, but not all of their keys: run this again with --force")?;
        report(&archive, (projects.len(), repositories));
        Ok(())
    }
}

fn report(archive: &Checked, (projects, repositories): (usize, usize)) {
    println!(
        "Restored {projects} projects and {repositories} repositories, as they were on {} UTC.\n\
         Now start PaaSTech. Everybody logs in again; SSH keys are as they were.\n\
         Apps that this engine still runs go on. Images are in no backup: `paastech-admin doctor` names the apps that \
         do not run, and `paastech deploy --project <id>` builds and starts one again.",
        when(archive.manifest.taken_at)
    );
}

/// A file that can be read from any place.
fn open(from: &Path, data_dir: &Path) -> Result<File> {
    if from != Path::new("-") {
        return File::open(from).with_context(|| from.display().to_string());
    }
    let mut file = tempfile::tempfile_in(data_dir)?;
    io::copy(&mut io::stdin().lock(), &mut file).context("standard input")?;
    io::Seek::rewind(&mut file)?;
    Ok(file)
}

fn private_dir(dir: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| dir.display().to_string())
}

/// The rows of a table, read one by one.
fn rows(archive: &Checked, table: &'static str) -> Result<impl Iterator<Item = Result<dump::Line>>> {
    let name = Name::Table(table);
    let entry = archive.get(name)?.with_context(|| format!("the backup lacks {name}"))?;
    let mut lines = BufReader::new(entry);
    Ok(std::iter::from_fn(move || {
        read_row(&mut lines).with_context(|| format!("{name} is damaged")).transpose()
    }))
}

fn read_row(lines: &mut impl BufRead) -> Result<Option<dump::Line>> {
    let mut text = Vec::new();
    lines.take(MAX_LINE).read_until(b'\n', &mut text)?;
    if text.is_empty() {
        return Ok(None);
    }
    ensure!(text.ends_with(b"\n"), "a row is too long, or cut off");
    Ok(Some(serde_json::from_slice(&text)?))
}

/// Whether every project's key can be opened by what is in the backup, or else in the folder of the secrets.
fn check_keys(archive: &Checked, files: &SecretFiles, dir: &Path) -> Result<()> {
    let mut keks = Vec::new();
    let in_backup = archive.names().any(|name| name == Name::Secret("kek"));
    for name in ["kek", "kek-old"] {
        let text = if in_backup { secret(archive, name)? } else { files.get(name)? };
        keks.extend(text.and_then(|text| parse_key(&text)));
    }
    for row in rows(archive, "project")? {
        let row = row?;
        let text = |name: &str| row.get(name).and_then(|value| value.as_str()).unwrap_or_default();
        let (id, data_key) = (text("id"), text("data_key"));
        // A deleted project has none.
        if data_key.is_empty() {
            continue;
        }
        let project = id.parse().with_context(|| format!("the backup's project {id:?} has no id"))?;
        let by = secrets::wrapped_by(data_key).unwrap_or_default();
        if secrets::unwrap(&keks, project, data_key).is_err() {
            bail!(
                "the secrets of project {id} need the key {by}, which is neither in the backup nor in {}: put the old \
                 installation's `kek` there, or restore a backup made with --include-secrets",
                dir.display()
            );
        }
    }
    Ok(())
}

fn secret(archive: &Checked, name: &'static str) -> Result<Option<Zeroizing<String>>> {
    let Some(entry) = archive.get(Name::Secret(name))? else { return Ok(None) };
    let mut text = Zeroizing::new(String::new());
    entry.take(MAX_SECRET).read_to_string(&mut text).with_context(|| format!("secret {name}"))?;
    Ok(Some(text))
}

/// Replaces every row.
async fn load(tx: &mut Tx, archive: &Checked, now: i64) -> Result<()> {
    dump::clear(tx).await?;
    for table in dump::TABLES {
        let columns = dump::columns(tx, table).await?;
        for row in rows(archive, table)? {
            let fits = dump::insert(tx, table, &columns, &row?).await;
            fits.with_context(|| format!("a row of {table} in the backup does not fit the database"))?;
        }
    }
    Ok(dump::raise_fences(tx, now).await?)
}

/// Puts a project's repository in its place; whether the backup has one.
async fn import(
    mut git: GitControllerClient<Transport>,
    archive: &Checked,
    project: &desired::Row,
) -> Result<bool> {
    let id: ProjectId = project.id()?;
    let Some(bundle) = archive.get(Name::Repository(id))? else { return Ok(false) };
    let bytes = bundle.limit();
    let content = content(tokio::fs::File::from_std(bundle.into_inner()), bytes);
    let scope = Some(Scope { project_id: project.id.clone(), fence: project.fence });
    let header = Part::Header(ImportHeader { scope, deploy_branch: project.deploy_branch.clone() });
    let parts =
        stream::iter([header]).chain(content).map(|part| ImportRepositoryRequest { part: Some(part) });
    let mut request = tonic::Request::new(parts);
    request.set_timeout(IMPORT);
    let done = git.import_repository(request).await;
    done.with_context(|| {
        format!("the repository of project {id} cannot be restored; run this again with --force")
    })?;
    Ok(true)
}

/// A bundle in chunks, and its end when all of its bytes were there: one without an end is refused.
fn content<F: AsyncRead + Unpin>(bundle: F, bytes: u64) -> impl Stream<Item = Part> {
    stream::unfold(Some((bundle, bytes)), async |state| {
        let (mut bundle, left) = state?;
        if left == 0 {
            return Some((Part::End(ImportEnd {}), None));
        }
        let mut chunk = vec![0; usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK))];
        if let Err(error) = bundle.read_exact(&mut chunk).await {
            eprintln!("a repository in the backup cannot be read: {error}");
            return None;
        }
        let left = left - chunk.len() as u64;
        Some((Part::Chunk(chunk), Some((bundle, left))))
    })
}

/// What sealed the data replaces what is there. What the engine's objects are known by stays where there is some.
fn put_secrets(archive: &Checked, files: &SecretFiles, installation: &Installation) -> Result<()> {
    for name in SECRETS {
        let Some(text) = secret(archive, name)? else { continue };
        match name {
            "kek" | "kek-old" | "jwt" => files.replace(name, text.trim())?,
            HOST_KEY => put_host_key(installation.host_key.as_deref(), &text)?,
            _ => match files.get(name)? {
                None => files.replace(name, text.trim())?,
                Some(held) if held.as_str() == text.trim() => {}
                Some(_) => eprintln!(
                    "{name} stays as it is here: apps that run under the old one are not taken over"
                ),
            },
        }
    }
    Ok(())
}

/// Whole, or not at all. One that is there stays: clients know it.
fn put_host_key(path: Option<&Path>, text: &str) -> Result<()> {
    let Some(path) = path else {
        eprintln!(
            "the SSH server's host key of the backup is left out: it has no place here; put it into the SSH server's \
             `state_dir`, or clients are warned of another one"
        );
        return Ok(());
    };
    let what = || path.display().to_string();
    if path.exists() {
        if fs::read_to_string(path).with_context(what)?.trim() != text.trim() {
            eprintln!("{} stays as it is here: clients that knew the old one are warned", what());
        }
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    private_dir(folder).with_context(what)?;
    let mut aside = NamedTempFile::new_in(folder).with_context(what)?;
    aside.write_all(text.trim().as_bytes()).and_then(|()| aside.write_all(b"\n")).with_context(what)?;
    aside.as_file().sync_all().with_context(what)?;
    aside.persist_noclobber(path).with_context(what)?;
    Ok(())
}

fn put_logs(archive: &Checked, folder: &Path) -> Result<()> {
    private_dir(folder)?;
    let logs = archive.names().filter_map(|name| match name {
        Name::Log(id) => Some(id),
        _ => None,
    });
    for id in logs.collect::<Vec<OperationId>>() {
        let Some(mut log) = archive.get(Name::Log(id))? else { continue };
        let mut file = fs::File::create(folder.join(format!("{id}.jsonl")))?;
        io::copy(&mut log, &mut file)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    async fn sent(bundle: &[u8], bytes: u64) -> (Vec<u8>, bool) {
        let (mut whole, mut ended) = (Vec::new(), false);
        for part in content(bundle, bytes).collect::<Vec<_>>().await {
            match part {
                Part::Chunk(chunk) => whole.extend(chunk),
                Part::End(_) => ended = true,
                Part::Header(_) => panic!("a header"),
            }
        }
        (whole, ended)
    }

    #[test]
    fn a_host_key_is_put_where_there_is_none_and_replaces_no_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ssh/host_key");
        for text in ["one", "another"] {
            put_host_key(Some(&path), text).expect("put, or left");
            assert_eq!(fs::read_to_string(&path).expect("there"), "one\n");
        }
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path().join("ssh")).expect("a folder").count(), 1, "nothing aside");
    }

    #[tokio::test]
    async fn a_bundle_ends_only_when_all_of_it_could_be_read() {
        let bundle = vec![7; 2 * CHUNK + 1];
        let bytes = bundle.len() as u64;
        assert_eq!(sent(&bundle, bytes).await, (bundle.clone(), true));
        assert_eq!(sent(&bundle, 1).await, (vec![7], true), "what comes behind it is not its own");
        assert_eq!(sent(&[], 0).await, (Vec::new(), true), "a repository without refs");
        assert!(!sent(&bundle, bytes + 1).await.1);
        assert!(!sent(&[], 1).await.1);
    }
}
