//! Source trees that wait for their build: one tar file each.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use futures_util::{Stream, StreamExt as _};
use paastech_types::ProjectId;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use crate::error::Error;

/// Dropped after this long when no build took them.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// The folder of sources, with one folder per project inside.
pub(crate) struct Sources {
    dir: PathBuf,
    limit: u64,
}

impl Sources {
    /// Makes the folder; what an earlier process left goes by its age.
    pub(crate) fn open(dir: PathBuf, limit: u64) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let sources = Self { dir, limit };
        sources.sweep()?;
        Ok(sources)
    }

    /// Where a source is; `None` when it is not here.
    pub(crate) fn get(&self, project: ProjectId, source: Uuid) -> Option<PathBuf> {
        Some(self.path(project, source)).filter(|path| path.is_file())
    }

    /// Keeps a stream of tar under this id; a repeat replaces.
    pub(crate) async fn put<B: AsRef<[u8]>>(
        &self,
        project: ProjectId,
        source: Uuid,
        mut chunks: impl Stream<Item = Result<B, Error>> + Unpin,
    ) -> Result<u64, Error> {
        self.sweep()?;
        let path = self.path(project, source);
        let aside = path.with_extension(format!("{}.part", Uuid::new_v4().simple()));
        fs::create_dir_all(self.project(project))?;
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = tokio::fs::File::from_std(options.open(&aside)?);
        let write = async {
            let mut bytes = 0;
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk?;
                bytes += chunk.as_ref().len() as u64;
                if bytes > self.limit {
                    let text = format!("the source is larger than {} MiB", self.limit >> 20);
                    return Err(Error::Exhausted(text));
                }
                file.write_all(chunk.as_ref()).await?;
            }
            file.flush().await?;
            fs::rename(&aside, &path)?;
            Ok(bytes)
        };
        let outcome = write.await;
        if outcome.is_err() {
            let _ = fs::remove_file(&aside);
        }
        outcome
    }

    /// Drops a source, when its build has ended.
    pub(crate) fn remove(&self, project: ProjectId, source: Uuid) -> io::Result<()> {
        absent_is_fine(fs::remove_file(self.path(project, source)))?;
        // Only an empty folder goes.
        let _ = fs::remove_dir(self.project(project));
        Ok(())
    }

    /// Drops all of a project.
    pub(crate) fn remove_project(&self, project: ProjectId) -> io::Result<()> {
        absent_is_fine(fs::remove_dir_all(self.project(project)))
    }

    fn project(&self, project: ProjectId) -> PathBuf {
        self.dir.join(project.to_string())
    }

    fn path(&self, project: ProjectId, source: Uuid) -> PathBuf {
        self.project(project).join(format!("{}.tar", source.hyphenated()))
    }

    fn sweep(&self) -> io::Result<()> {
        let now = SystemTime::now();
        for project in fs::read_dir(&self.dir)? {
            let project = project?.path();
            let Ok(files) = fs::read_dir(&project) else { continue };
            for file in files {
                let path = file?.path();
                if is_older(&path, now) {
                    absent_is_fine(fs::remove_file(&path))?;
                }
            }
            let _ = fs::remove_dir(&project);
        }
        Ok(())
    }
}

fn is_older(path: &Path, now: SystemTime) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > MAX_AGE))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use futures_util::stream;

    use super::*;

    fn chunks(texts: &[&'static str]) -> impl Stream<Item = Result<&'static str, Error>> + Unpin + use<> {
        stream::iter(texts.iter().map(|text| Ok(*text)).collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn a_repeat_replaces_and_removal_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let sources = Sources::open(dir.path().join("s"), 100).expect("opens");
        let (project, id) = (ProjectId::new(), Uuid::now_v7());
        sources.put(project, id, chunks(&["abc", "d"])).await.expect("kept");
        assert_eq!(sources.put(project, id, chunks(&["xy"])).await.expect("replaced"), 2);
        let path = sources.get(project, id).expect("there");
        assert_eq!(fs::read(&path).expect("read"), b"xy");
        assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o600);
        assert!(sources.get(ProjectId::new(), id).is_none(), "another project's");
        sources.remove(project, id).expect("removed");
        assert_eq!(fs::read_dir(dir.path().join("s")).expect("read").count(), 0);
    }

    #[tokio::test]
    async fn a_source_over_the_limit_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let sources = Sources::open(dir.path().join("s"), 3).expect("opens");
        let (project, id) = (ProjectId::new(), Uuid::now_v7());
        let refused = sources.put(project, id, chunks(&["ab", "cd"])).await;
        assert!(matches!(refused, Err(Error::Exhausted(_))));
        assert_eq!(fs::read_dir(sources.project(project)).expect("read").count(), 0);
    }

    #[tokio::test]
    async fn what_nobody_builds_is_dropped_in_the_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let sources = Sources::open(dir.path().to_owned(), 100).expect("opens");
        let (project, id) = (ProjectId::new(), Uuid::now_v7());
        sources.put(project, id, chunks(&["ab"])).await.expect("kept");
        let old = SystemTime::now() - MAX_AGE * 2;
        let file = fs::File::options().write(true).open(sources.path(project, id)).expect("opens");
        file.set_modified(old).expect("set");
        Sources::open(dir.path().to_owned(), 100).expect("opens again");
        assert!(sources.get(project, id).is_none());
    }
}
