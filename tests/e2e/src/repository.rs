//! A developer's working repository, driven by the real git.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Developer, Ended, Project, Source,
    app::APP,
    eventually,
    push::{Push, capture},
};

/// A working repository.
pub(crate) struct Repository<'a> {
    developer: &'a Developer,
    pub(crate) folder: PathBuf,
}

impl<'a> Repository<'a> {
    /// A new one with one commit on main.
    pub(crate) async fn create(developer: &'a Developer, folder: PathBuf, source: &Source) -> Self {
        fs::create_dir(&folder).expect("a folder");
        let repository = Self { developer, folder };
        repository.git(&["init", "--quiet", "--initial-branch=main"]).await.succeeded();
        repository.commit(source).await;
        repository
    }

    /// One that is there.
    pub(crate) fn open(developer: &'a Developer, folder: PathBuf) -> Self {
        Self { developer, folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Commits these files over what is there; the commit's id.
    pub(crate) async fn commit(&self, source: &Source) -> String {
        source.write(&self.folder);
        self.git(&["add", "--all"]).await.succeeded();
        self.git(&["commit", "--quiet", "--allow-empty", "--message=A change"]).await.succeeded();
        self.head().await
    }

    /// The id of what is checked out.
    pub(crate) async fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"]).await.succeeded().trim().to_owned()
    }

    /// git, to its end.
    pub(crate) async fn git(&self, words: &[&str]) -> Ended {
        let mut git = self.developer.command("git");
        git.args(words).current_dir(&self.folder);
        capture(git).await
    }

    /// `git push <project> main`, to its end.
    pub(crate) async fn push(&self, project: &Project) -> Ended {
        self.push_ref(project, &["main"]).await
    }

    /// `git push <project>` with these words, to its end.
    pub(crate) async fn push_ref(&self, project: &Project, words: &[&str]) -> Ended {
        self.start_push(project, words).end().await
    }

    /// `git push <project>` with these words, under way.
    pub(crate) fn start_push(&self, project: &Project, words: &[&str]) -> Push {
        let mut git = self.developer.command("git");
        git.current_dir(&self.folder).args(["push", &project.git_url]).args(words);
        Push::start(git)
    }

    /// `git push <project> main`, stopped when it has been let in and before it sends anything, until `held` goes.
    pub(crate) async fn start_held_push(&self, project: &Project) -> Push {
        Source::empty().with("hooks/pre-push", APP).write(&self.folder);
        let mut git = self.developer.command("git");
        git.current_dir(&self.folder).args(["-c", "core.hooksPath=hooks", "push", &project.git_url, "main"]);
        let push = Push::start(git);
        eventually("the push is let in", 30, || async { self.held().exists().then_some(()) }).await;
        push
    }

    /// Lets the push go on.
    pub(crate) fn let_go(&self) {
        fs::remove_file(self.held()).expect("a push is held");
    }

    fn held(&self) -> PathBuf {
        self.folder.join("held")
    }

    /// What the project's deploy branch is at, as a clone would see it.
    pub(crate) async fn remote_ref(&self, project: &Project, name: &str) -> Option<String> {
        let listed = self.git(&["ls-remote", &project.git_url, name]).await.succeeded();
        listed.split_whitespace().next().map(str::to_owned)
    }
}
