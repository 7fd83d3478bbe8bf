//! A whole repository as a git bundle: written by a git child, read through libgit2.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
};

use bytes::BytesMut;
use git2::{Oid, Reference, Repository};
use paastech_proto::git::ExportRepositoryResponse;
use paastech_runtime::chunks::CHUNK;
use tokio::{io::AsyncReadExt as _, sync::mpsc};
use tonic::Status;

use crate::{
    Error,
    cage::{self, Cage},
    git,
};

const SIGNATURE: &str = "# v2 git bundle\n";
/// The longest line of a bundle's head: an id, a blank and a ref's name.
const MAX_LINE: u64 = 4096;

/// The programs that write a bundle.
pub(crate) struct Programs {
    /// The program that holds the applets.
    pub(crate) applet: PathBuf,
    pub(crate) git: PathBuf,
}

impl Programs {
    /// Sends the bundle of a repository that has refs. git reads them first: a push in the meantime takes nothing away.
    pub(crate) async fn send(
        &self,
        repository: &Path,
        to: &mpsc::Sender<Result<ExportRepositoryResponse, Status>>,
    ) -> Result<(), Error> {
        let cage = Cage {
            write: Vec::new(),
            read: vec![repository.to_owned(), self.applet.clone(), self.git.clone()],
            max_file_bytes: 0,
        };
        let mut child = cage::command(&self.applet, &cage, &self.git)?
            .envs(git::ENVIRONMENT)
            .args(git::configuration(repository))
            .arg("--git-dir")
            .arg(repository)
            .args(["bundle", "create", "--quiet", "-", "--all"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut out = child.stdout.take().ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            if out.read_buf(&mut chunk).await? == 0 {
                break;
            }
            let chunk = chunk.freeze();
            // Nobody is there to be told that nobody is there.
            if to.send(Ok(ExportRepositoryResponse { chunk, end: false })).await.is_err() {
                return Ok(());
            }
        }
        let status = child.wait().await?;
        if status.success() { Ok(()) } else { Err(Error::Program(format!("bundle: {status}"))) }
    }
}

/// Fills an empty repository with what a bundle holds; an empty file holds nothing.
pub(crate) fn unpack(bundle: File, repository: &Repository) -> Result<(), Error> {
    let mut bundle = bundle;
    bundle.rewind()?;
    let mut bundle = BufReader::new(bundle);
    if bundle.fill_buf()?.is_empty() {
        return Ok(());
    }
    let refs = read_head(&mut bundle)?;
    let odb = repository.odb()?;
    let mut pack = odb.packwriter()?;
    // libgit2 tells a writer no more than that it refuses.
    let written = io::copy(&mut bundle, &mut pack).and_then(|_| pack.flush()).is_ok();
    if !written || pack.commit().is_err() {
        return Err(invalid("its objects are damaged, not all there, or have no room"));
    }
    for (oid, name) in refs.into_iter().filter(|(_, name)| name != "HEAD") {
        if !name.starts_with("refs/") || !Reference::is_valid_name(&name) || !odb.exists(oid) {
            return Err(invalid("a ref of it is malformed or names what it does not hold"));
        }
        repository.reference(&name, oid, false, "restored")?;
    }
    Ok(())
}

/// The refs: `<id> <name>` in each line up to an empty one.
fn read_head(bundle: &mut impl BufRead) -> Result<Vec<(Oid, String)>, Error> {
    if read_line(bundle)? != SIGNATURE {
        return Err(invalid("it does not begin as one"));
    }
    let mut refs = Vec::new();
    loop {
        let line = read_line(bundle)?;
        let line = line.strip_suffix('\n').ok_or_else(|| invalid("it is cut off"))?;
        if line.is_empty() {
            return Ok(refs);
        }
        // A line with a hyphen names what the bundle needs besides itself.
        let (oid, name) = line.split_once(' ').ok_or_else(|| invalid("a line of its head is malformed"))?;
        let oid = Oid::from_str(oid).map_err(|_| invalid("it is not complete in itself"))?;
        refs.push((oid, name.to_owned()));
    }
}

fn read_line(bundle: &mut impl BufRead) -> Result<String, Error> {
    let mut line = String::new();
    bundle.take(MAX_LINE).read_line(&mut line).map_err(|_| invalid("its head is no text"))?;
    Ok(line)
}

fn invalid(why: &str) -> Error {
    Error::Invalid { field: "bundle", why: format!("is none that can be used: {why}") }
}
