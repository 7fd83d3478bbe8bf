//! Refs and revisions, read through libgit2.

use git2::{ErrorCode, Oid, Repository};
use paastech_proto::git::{Ref, ResolveRevisionResponse};
use paastech_types::Branch;

use crate::Error;

/// More would not fit into one reply.
const MAX_REFS: usize = 20_000;
/// Characters of a commit's subject that are shown.
const SUBJECT: usize = 200;

/// The refs whose full name begins with `prefix`, sorted by name.
pub(crate) fn list(repository: &Repository, prefix: &str) -> Result<Vec<Ref>, Error> {
    let mut refs = Vec::new();
    for reference in repository.references()? {
        let reference = reference?;
        let (Ok(name), Some(oid)) = (reference.name(), reference.target()) else { continue };
        if name.starts_with(prefix) {
            refs.push(Ref { name: name.to_owned(), oid: oid.to_string() });
        }
        if refs.len() > MAX_REFS {
            return Err(Error::TooManyRefs(MAX_REFS));
        }
    }
    refs.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(refs)
}

/// The branch HEAD points at, and its commit unless it is unborn.
pub(crate) fn head(repository: &Repository) -> Result<(String, Option<Oid>), Error> {
    let head = repository.find_reference("HEAD")?;
    let target = head.symbolic_target()?.unwrap_or_default();
    let commit = match repository.refname_to_id(target) {
        Ok(oid) => Some(oid),
        Err(error) if error.code() == ErrorCode::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    Ok((target.strip_prefix("refs/heads/").unwrap_or(target).to_owned(), commit))
}

/// The commit of a full oid, a branch, a tag, or an abbreviated oid, in this order.
pub(crate) fn resolve(repository: &Repository, revision: &str) -> Result<ResolveRevisionResponse, Error> {
    let hex = revision.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let object = if hex && revision.len() == 40 {
        Oid::from_str(revision).and_then(|oid| repository.find_object(oid, None))
    } else {
        let short = revision.strip_prefix("refs/heads/").or(revision.strip_prefix("refs/tags/"));
        let name: Branch = short.unwrap_or(revision).parse().map_err(|_| Error::Invalid {
            field: "revision",
            why: "must be a branch, a tag or a commit".to_owned(),
        })?;
        let candidates = match short {
            Some(_) => vec![revision.to_owned()],
            None => vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")],
        };
        let named = candidates.iter().find_map(|name| repository.refname_to_id(name).ok());
        match named {
            Some(oid) => repository.find_object(oid, None),
            None if hex && (7..40).contains(&revision.len()) => repository
                .odb()?
                .exists_prefix(Oid::from_str(revision)?, revision.len())
                .and_then(|oid| repository.find_object(oid, None)),
            None => return Err(Error::NoRevision),
        }
    };
    let commit = object.and_then(|object| object.peel_to_commit()).map_err(|error| match error.code() {
        ErrorCode::NotFound | ErrorCode::Ambiguous | ErrorCode::InvalidSpec | ErrorCode::Peel => {
            Error::NoRevision
        }
        _ => Error::Git(error),
    })?;
    let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
    let subject = message.lines().next().unwrap_or_default();
    Ok(ResolveRevisionResponse {
        commit: commit.id().to_string(),
        tree: commit.tree_id().to_string(),
        subject: subject.chars().filter(|c| !c.is_control()).take(SUBJECT).collect(),
    })
}
