//! The highest fence seen per project: our only state. One small file each, written through before it counts.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use paastech_types::ProjectId;
use tokio::sync::OwnedMutexGuard;

use crate::error::Error;

/// There once the api has seeded us.
const SEEDED: &str = "seeded";

/// A project and the fence of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scope {
    /// The project.
    pub(crate) project: ProjectId,
    /// The caller's fence.
    pub(crate) fence: i64,
}

/// Held while a call changes a project.
pub(crate) type Guard = OwnedMutexGuard<()>;

/// All projects' fences and locks.
pub(crate) struct Fences {
    dir: PathBuf,
    seeded: AtomicBool,
    projects: Mutex<HashMap<ProjectId, Arc<Slot>>>,
}

#[derive(Default)]
struct Slot {
    highest: Mutex<i64>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Fences {
    /// Reads what an earlier process left in `dir`, which is made if need be.
    pub(crate) fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let mut projects = HashMap::new();
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let Some(project) = entry.file_name().to_str().and_then(|name| name.parse::<ProjectId>().ok())
            else {
                continue;
            };
            let text = fs::read_to_string(entry.path())?;
            let highest = text.trim().parse().map_err(|_| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{} holds no number", entry.path().display()),
                )
            })?;
            projects.insert(project, Arc::new(Slot { highest: Mutex::new(highest), ..Slot::default() }));
        }
        let seeded = AtomicBool::new(dir.join(SEEDED).exists());
        Ok(Self { dir, seeded, projects: Mutex::new(projects) })
    }

    /// Waits for the project's turn, then records the fence or refuses a lower one.
    pub(crate) async fn enter(&self, scope: Scope) -> Result<Guard, Error> {
        let slot = self.slot(scope.project);
        let guard = Arc::clone(&slot.turn).lock_owned().await;
        self.raise(&slot, scope)?;
        Ok(guard)
    }

    /// Records the fence or refuses a lower one, without waiting for a turn.
    pub(crate) fn check(&self, scope: Scope) -> Result<(), Error> {
        self.raise(&self.slot(scope.project), scope)
    }

    /// Whether the api has told us the highest fences.
    pub(crate) fn seeded(&self) -> bool {
        self.seeded.load(Ordering::SeqCst)
    }

    /// Takes the api's highest fences; what we have seen ourselves stays when it is higher.
    pub(crate) fn seed(&self, highest: &[Scope]) -> Result<(), Error> {
        for scope in highest {
            match self.check(*scope) {
                Ok(()) | Err(Error::Fence { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        self.write(SEEDED, "")?;
        self.seeded.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn slot(&self, project: ProjectId) -> Arc<Slot> {
        let mut projects = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(projects.entry(project).or_default())
    }

    fn raise(&self, slot: &Slot, scope: Scope) -> Result<(), Error> {
        let mut highest = slot.highest.lock().unwrap_or_else(PoisonError::into_inner);
        if scope.fence < *highest {
            return Err(Error::Fence { given: scope.fence, highest: *highest });
        }
        if scope.fence > *highest {
            self.write(&scope.project.to_string(), &scope.fence.to_string())?;
            *highest = scope.fence;
        }
        Ok(())
    }

    /// Whole or not at all, and on the disk when it returns.
    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let aside = self.dir.join(format!(".{name}.new"));
        let mut file = File::create(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, self.dir.join(name))?;
        File::open(&self.dir)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lower_fence_is_refused_even_by_the_next_process() {
        let dir = tempfile::tempdir().expect("a directory");
        let project = ProjectId::new();
        let fences = Fences::open(dir.path().to_owned()).expect("opens");
        drop(fences.enter(Scope { project, fence: 5 }).await.expect("first"));
        drop(fences.enter(Scope { project, fence: 5 }).await.expect("a repeat"));
        let again = Fences::open(dir.path().to_owned()).expect("opens");
        let refused = again.enter(Scope { project, fence: 4 }).await;
        assert!(matches!(refused, Err(Error::Fence { given: 4, highest: 5 })));
        assert!(
            again.check(Scope { project: ProjectId::new(), fence: 1 }).is_ok(),
            "others are not concerned"
        );
    }

    #[test]
    fn seeding_raises_and_never_lowers() {
        let dir = tempfile::tempdir().expect("a directory");
        let (a, b) = (ProjectId::new(), ProjectId::new());
        let fences = Fences::open(dir.path().to_owned()).expect("opens");
        assert!(!fences.seeded());
        fences.check(Scope { project: a, fence: 9 }).expect("first");
        fences.seed(&[Scope { project: a, fence: 3 }, Scope { project: b, fence: 7 }]).expect("seeds");
        let again = Fences::open(dir.path().to_owned()).expect("opens");
        assert!(again.seeded());
        assert!(again.check(Scope { project: a, fence: 8 }).is_err());
        assert!(again.check(Scope { project: b, fence: 6 }).is_err());
    }

    #[tokio::test]
    async fn one_call_at_a_time_changes_a_project() {
        let dir = tempfile::tempdir().expect("a directory");
        let fences = Fences::open(dir.path().to_owned()).expect("opens");
        let scope = Scope { project: ProjectId::new(), fence: 1 };
        let held = fences.enter(scope).await.expect("first");
        assert!(
            tokio::time::timeout(std::time::Duration::from_millis(20), fences.enter(scope)).await.is_err()
        );
        drop(held);
        assert!(fences.enter(scope).await.is_ok());
    }
}
