//! The directory of repositories: the one place where a project's id becomes a path.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use git2::{Repository, RepositoryInitOptions};
use paastech_types::{Branch, ProjectId};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{Error, fence};

/// Where repositories are made before they are whole.
const NEW: &str = "new";
/// Where they go to be removed.
const TRASH: &str = "trash";

/// All repositories under one root.
pub struct Repositories {
    root: PathBuf,
    /// Held while a repository is made, moved or fenced; never while one is read or collected.
    changing: Mutex<()>,
}

impl Repositories {
    /// Opens the root, making it if it is absent.
    ///
    /// # Errors
    /// The directory cannot be made or resolved.
    pub fn open(root: &Path) -> io::Result<Self> {
        for dir in [root.to_owned(), root.join(NEW), root.join(TRASH)] {
            fs::create_dir_all(&dir)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", dir.display())))?;
        }
        Ok(Self { root: root.canonicalize()?, changing: Mutex::new(()) })
    }

    /// The directory of a project's repository, whether or not it exists.
    #[must_use]
    pub fn path(&self, project: ProjectId) -> PathBuf {
        self.root.join(format!("{project}.git"))
    }

    /// The directory of a project's repository, checked to be one of ours and nothing else.
    ///
    /// # Errors
    /// It is absent, or has alternates or symbolic links that we never make.
    pub fn checked_path(&self, project: ProjectId) -> Result<PathBuf, Error> {
        let path = self.path(project);
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(Error::Foreign("a file in place of its directory")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoRepository(project));
            }
            Err(error) => return Err(error.into()),
        }
        for name in ["alternates", "http-alternates"] {
            if path.join("objects/info").join(name).symlink_metadata().is_ok() {
                return Err(Error::Foreign("alternates"));
            }
        }
        // Not each of the many directories of loose objects: what they hold is read by its hash.
        for (name, levels) in [("objects", 1), ("objects/info", 1), ("objects/pack", 1), ("refs", u32::MAX)] {
            refuse_symlinks(&path.join(name), levels)?;
        }
        Ok(path)
    }

    /// Opens a project's repository for reading.
    ///
    /// # Errors
    /// As [`Self::checked_path`], or libgit2 cannot read it.
    pub fn repository(&self, project: ProjectId) -> Result<Repository, Error> {
        Ok(Repository::open_bare(self.checked_path(project)?)?)
    }

    /// Makes an empty repository whose HEAD is `branch`: aside first, then renamed. A repeat changes nothing.
    pub(crate) fn create(&self, project: ProjectId, fence: i64, branch: &Branch) -> Result<(), Error> {
        let _changing = self.lock();
        match self.checked_path(project) {
            Ok(path) => return fence::admit(&path, fence),
            Err(Error::NoRepository(_)) => {}
            Err(error) => return Err(error),
        }
        let aside = self.make(fence, branch)?;
        sync_tree(aside.path())?;
        fs::rename(aside.keep(), self.path(project))?;
        File::open(&self.root)?.sync_all()?;
        Ok(())
    }

    /// An empty repository aside, removed when dropped.
    fn make(&self, fence: i64, branch: &Branch) -> Result<TempDir, Error> {
        let aside = tempfile::Builder::new().prefix("repository-").tempdir_in(self.root.join(NEW))?;
        Repository::init_opts(
            aside.path(),
            RepositoryInitOptions::new()
                .bare(true)
                .no_reinit(true)
                .external_template(false)
                .initial_head(branch.as_str()),
        )?;
        fs::remove_dir_all(aside.path().join("hooks"))?;
        fence::admit(aside.path(), fence)?;
        Ok(aside)
    }

    /// Puts a repository, filled by `fill`, in the place of the project's own, if it has one.
    pub(crate) fn replace(
        &self,
        project: ProjectId,
        fence: i64,
        branch: &Branch,
        fill: impl FnOnce(&Repository) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let aside = self.make(fence, branch)?;
        fill(&Repository::open_bare(aside.path())?)?;
        sync_tree(aside.path())?;
        let _changing = self.lock();
        let path = self.path(project);
        if path.symlink_metadata().is_ok() {
            fence::check(&path, fence)?;
            // What was there is removed with the temporary directory that now has it.
            renameat_with(CWD, aside.path(), CWD, &path, RenameFlags::EXCHANGE).map_err(io::Error::from)?;
        } else {
            fs::rename(aside.keep(), &path)?;
        }
        File::open(&self.root)?.sync_all()?;
        Ok(())
    }

    /// A file aside, without a name.
    pub(crate) fn spool(&self) -> io::Result<File> {
        tempfile::tempfile_in(self.root.join(NEW))
    }

    /// Moves a repository to the trash and removes it there. A repeat, or an unknown one, is fine.
    pub(crate) fn delete(&self, project: ProjectId, fence: i64) -> Result<(), Error> {
        let trashed = {
            let _changing = self.lock();
            let path = self.path(project);
            match path.symlink_metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                other => other?,
            };
            // Compared and not kept: a disk that is full takes no file, and its owner deletes projects.
            fence::check(&path, fence)?;
            let place = self.root.join(TRASH).join(format!("deleted-{}", Uuid::new_v4()));
            fs::rename(&path, &place)?;
            File::open(&self.root)?.sync_all()?;
            place
        };
        fs::remove_dir_all(trashed)?;
        Ok(())
    }

    /// Checks the fence of a change to an existing repository, then makes it.
    pub(crate) fn change<T>(
        &self,
        project: ProjectId,
        fence: i64,
        change: impl FnOnce(&Path) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let _changing = self.lock();
        let path = self.checked_path(project)?;
        fence::admit(&path, fence)?;
        change(&path)
    }

    /// The projects that have a repository.
    pub(crate) fn list(&self) -> Result<Vec<ProjectId>, Error> {
        let mut projects = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let name = entry?.file_name();
            let id: Option<ProjectId> =
                name.to_str().and_then(|name| name.strip_suffix(".git")).and_then(|id| id.parse().ok());
            projects.extend(id);
        }
        projects.sort_unstable();
        Ok(projects)
    }

    /// What an earlier process left half-made or half-deleted. Nothing else touches these names again.
    ///
    /// # Errors
    /// The directories cannot be read.
    pub fn leftovers(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for dir in [NEW, TRASH] {
            for entry in fs::read_dir(self.root.join(dir))? {
                found.push(entry?.path());
            }
        }
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes directories; one that cannot be removed is left for the next start.
pub fn remove_all(directories: &[PathBuf]) {
    for directory in directories {
        if let Err(error) = fs::remove_dir_all(directory) {
            tracing::warn!(path = %directory.display(), error = %error, "cannot remove a leftover");
        }
    }
}

/// The bytes of every file under `path`.
///
/// # Errors
/// The directory cannot be read.
pub fn size_of(path: &Path) -> io::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        // A file may be gone by now: git renames and removes while we look.
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => total += size_of(&entry.path()).unwrap_or(0),
            Ok(meta) => total += meta.len(),
            Err(_) => {}
        }
    }
    Ok(total)
}

/// Refuses a symbolic link at `dir`, in it, and so on for as many `levels`. git removes empty directories while we look.
fn refuse_symlinks(dir: &Path, levels: u32) -> Result<(), Error> {
    match find_symlinks(dir, levels) {
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn find_symlinks(dir: &Path, levels: u32) -> Result<(), Error> {
    if fs::symlink_metadata(dir)?.is_symlink() {
        return Err(Error::Foreign("a symbolic link"));
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            return Err(Error::Foreign("a symbolic link"));
        }
        if kind.is_dir() && levels > 1 {
            refuse_symlinks(&entry.path(), levels - 1)?;
        }
    }
    Ok(())
}

fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_text_becomes_an_id_its_path_is_right_under_the_root(
            text in "[0-9a-fA-F/.{}~%-]{0,40}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        ) {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let repositories = Repositories::open(dir.path()).expect("opens");
            if let Ok(project) = text.parse::<ProjectId>() {
                let path = repositories.path(project);
                prop_assert_eq!(path.parent(), Some(repositories.root.as_path()));
                prop_assert_eq!(path.components().count(), repositories.root.components().count() + 1);
            }
        }
    }

    fn branch() -> Branch {
        "main".parse().expect("a branch")
    }

    #[test]
    fn a_half_made_repository_is_a_leftover_and_no_repository() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let repositories = Repositories::open(dir.path()).expect("opens");
        fs::create_dir(dir.path().join(NEW).join("repository-x")).expect("made");
        fs::create_dir(dir.path().join(TRASH).join("deleted-x")).expect("made");
        assert!(repositories.list().expect("lists").is_empty());
        let leftovers = repositories.leftovers().expect("reads");
        assert_eq!(leftovers.len(), 2);
        remove_all(&leftovers);
        assert!(repositories.leftovers().expect("reads").is_empty());
    }

    #[test]
    fn alternates_and_symbolic_links_are_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let repositories = Repositories::open(dir.path()).expect("opens");
        let project = ProjectId::new();
        repositories.create(project, 1, &branch()).expect("made");
        let link = repositories.path(project).join("refs/heads/evil");
        std::os::unix::fs::symlink("/etc/passwd", &link).expect("linked");
        assert!(matches!(repositories.checked_path(project), Err(Error::Foreign(_))));
        fs::remove_file(link).expect("removed");
        repositories.checked_path(project).expect("clean again");
        fs::write(repositories.path(project).join("objects/info/alternates"), "/elsewhere\n")
            .expect("written");
        assert!(matches!(repositories.checked_path(project), Err(Error::Foreign(_))));
    }

    #[test]
    fn a_new_repository_has_its_head_on_the_deploy_branch_and_no_hooks() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let repositories = Repositories::open(dir.path()).expect("opens");
        let project = ProjectId::new();
        repositories.create(project, 1, &"trunk".parse().expect("a branch")).expect("made");
        let path = repositories.path(project);
        assert_eq!(fs::read_to_string(path.join("HEAD")).expect("read"), "ref: refs/heads/trunk\n");
        assert!(!path.join("hooks").exists());
        repositories.create(project, 2, &branch()).expect("a repeat");
        assert_eq!(fs::read_to_string(path.join("HEAD")).expect("read"), "ref: refs/heads/trunk\n");
    }

    /// A disk that is full takes no new file.
    #[test]
    fn a_repository_is_deleted_where_no_file_can_be_made() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let repositories = Repositories::open(dir.path()).expect("opens");
        let project = ProjectId::new();
        repositories.create(project, 1, &branch()).expect("made");
        let path = repositories.path(project);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                if take_no_new_file(dir.path()) {
                    assert!(fs::write(dir.path().join("new/x"), "x").is_err());
                }
                repositories.delete(project, 2).expect("deleted");
            });
        });
        assert!(!path.exists());
    }

    /// From now on this thread makes no file; false if the kernel cannot do that.
    fn take_no_new_file(root: &Path) -> bool {
        use landlock::{
            AccessFs, BitFlags, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
            RulesetCreatedAttr as _, path_beneath_rules,
        };
        let handled: BitFlags<AccessFs> = AccessFs::MakeReg | AccessFs::Refer;
        let ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(handled)
            .and_then(Ruleset::create);
        let Ok(ruleset) = ruleset else { return false };
        let moved = ruleset.add_rules(path_beneath_rules([root], AccessFs::Refer));
        moved.and_then(landlock::RulesetCreated::restrict_self).is_ok()
    }

    #[test]
    fn a_repository_that_cannot_be_seen_is_not_taken_for_gone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = dir.path().join("repositories");
        let repositories = Repositories::open(&root).expect("opens");
        fs::remove_dir_all(&root).expect("removed");
        fs::write(&root, "").expect("written");
        assert!(repositories.delete(ProjectId::new(), 1).is_err());
    }
}
