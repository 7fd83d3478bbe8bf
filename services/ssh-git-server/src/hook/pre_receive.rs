//! `pre-receive`: inside the quarantine, where alone the pushed objects can be seen.

use std::{
    env,
    io::{BufWriter, Write as _},
    os::unix::net::UnixStream,
    process::ExitCode,
};

use git2::{ErrorCode, ObjectType, Oid as GitOid, Repository};
use paastech_git_controller::archive;
use paastech_runtime::Chunks;
use paastech_types::Oid;

use super::{
    client::{self, Stop},
    protocol::{Stage, ToHook, ToServer, Update},
};

const SHALLOW: &str = "this clone is shallow, its history ends early. Fetch all of it, then push again: \
                       `git fetch --unshallow`; in CI set the clone's depth to 0 (fetch-depth: 0)";

/// The hook.
pub(crate) fn run() -> ExitCode {
    client::run(|updates| {
        let repository = open().map_err(unreadable)?;
        for update in &updates {
            require_commit(&repository, update)?;
        }
        require_whole_history(&repository, &updates)?;
        let stream = client::connect(Stage::PreReceive, updates.clone())?;
        let accepted = client::obey(&stream, |message, writer| match message {
            ToHook::SendSource { commit, limits } => send(&repository, &updates, &commit, &limits, writer),
            ToHook::Line(_) | ToHook::Done { .. } => Ok(()),
        })?;
        // Another push may have been faster while this one was built.
        match moved(&repository, &updates) {
            Some(why) if accepted => Err(Stop(why)),
            _ => Ok(accepted),
        }
    })
}

/// The repository, with the quarantine's objects in front of its own.
fn open() -> Result<Repository, git2::Error> {
    let repository = Repository::open_bare(".")?;
    let quarantine = env::var_os("GIT_OBJECT_DIRECTORY").or_else(|| env::var_os("GIT_QUARANTINE_PATH"));
    if let Some(path) = quarantine.as_deref().and_then(|path| path.to_str()) {
        repository.odb()?.add_disk_alternate(path)?;
    }
    Ok(repository)
}

/// git itself checks what a branch points at only after this hook.
fn require_commit(repository: &Repository, update: &Update) -> Result<(), Stop> {
    if update.new.is_zero() || !update.name.starts_with("refs/heads/") {
        return Ok(());
    }
    let oid = GitOid::from_str(update.new.as_str()).map_err(unreadable)?;
    let (_, kind) = repository.odb().and_then(|odb| odb.read_header(oid)).map_err(unreadable)?;
    if kind == ObjectType::Commit { Ok(()) } else { Err(Stop("a branch must point at a commit".to_owned())) }
}

/// git refuses a shallow history too, but only after this hook, and without the way out.
fn require_whole_history(repository: &Repository, updates: &[Update]) -> Result<(), Stop> {
    let whole = || {
        let mut walk = repository.revwalk()?;
        for update in updates.iter().filter(|update| !update.new.is_zero()) {
            let pushed = repository.find_object(GitOid::from_str(update.new.as_str())?, None)?;
            if let Ok(commit) = pushed.peel_to_commit() {
                walk.push(commit.id())?;
            }
        }
        walk.hide_glob("refs/*")?;
        walk.try_for_each(|commit| commit.map(drop))
    };
    match whole() {
        Err(error) if error.code() == ErrorCode::NotFound => Err(Stop(SHALLOW.to_owned())),
        other => other.map_err(unreadable),
    }
}

fn send(
    repository: &Repository,
    updates: &[Update],
    commit: &Oid,
    limits: &archive::Limits,
    writer: &mut BufWriter<&UnixStream>,
) -> Result<(), Stop> {
    if let Some(why) = moved(repository, updates) {
        ToServer::SourceRefused { why }.write(&mut *writer)?;
        return Ok(writer.flush()?);
    }
    let oid = GitOid::from_str(commit.as_str()).map_err(unreadable)?;
    let tree = repository.find_commit(oid).map_err(unreadable)?.tree_id().to_string();
    let tree = tree.parse().map_err(|_| Stop("only SHA-1 repositories are taken".to_owned()))?;
    ToServer::SourceStart { tree }.write(&mut *writer)?;
    let chunks = Chunks::new(|chunk| ToServer::Chunk(chunk).write(&mut *writer));
    let end = match archive::write_tree(repository, oid, limits, chunks) {
        Ok(summary) => ToServer::SourceEnd { warnings: summary.warnings },
        Err(archive::Error::Write(error)) => return Err(error.into()),
        Err(error) => ToServer::SourceRefused { why: error.to_string() },
    };
    end.write(&mut *writer)?;
    Ok(writer.flush()?)
}

/// Why git will not move the refs, if one of them no longer is where git told the client it was.
fn moved(repository: &Repository, updates: &[Update]) -> Option<String> {
    let unmoved = |update: &Update| match repository.refname_to_id(&update.name) {
        Ok(oid) => oid.to_string() == update.old.as_str(),
        Err(error) => error.code() == ErrorCode::NotFound && update.old.is_zero(),
    };
    let moved = updates.iter().find(|update| !unmoved(update))?;
    Some(format!("{} has moved since this push began: fetch, then push again", moved.name))
}

fn unreadable(error: git2::Error) -> Stop {
    Stop(format!("the pushed objects cannot be read: {}", error.message()))
}
