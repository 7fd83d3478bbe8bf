//! A git-controller on a temporary directory, and a hand that writes objects as no honest git would.

use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid, Repository, Signature, Time};
use paastech_git_controller::{Config, archive::Limits, build};
use paastech_proto::git::{
    ArchiveLimits, ArchiveRequest, CreateRepositoryRequest, Scope, git_controller_client::GitControllerClient,
};
use paastech_runtime::{Shutdown, Transport, transport};
use paastech_types::ProjectId;
use tempfile::TempDir;
use tonic::Status;

pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) client: GitControllerClient<Transport>,
    pub(crate) shutdown: Shutdown,
}

pub(crate) fn config(root: &Path) -> Config {
    let applet = Some(PathBuf::from(env!("CARGO_BIN_EXE_paastech-git-controller")));
    Config { root: root.to_owned(), applet, ..Config::default() }
}

pub(crate) fn scope(project: ProjectId, fence: i64) -> Option<Scope> {
    Some(Scope { project_id: project.to_string(), fence })
}

/// A tree entry as bytes: mode, name, object.
pub(crate) type Entry<'a> = (&'a str, &'a [u8], Oid);

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(archive: Limits) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = Config { archive, ..config(dir.path()) };
        let shutdown = Shutdown::new();
        let server = build(config, shutdown.clone()).await.expect("starts");
        Self { dir, client: GitControllerClient::new(transport::in_process(server)), shutdown }
    }

    pub(crate) async fn project(&self) -> ProjectId {
        let project = ProjectId::new();
        self.create(project, 1).await.expect("created");
        project
    }

    pub(crate) async fn create(&self, project: ProjectId, fence: i64) -> Result<(), Status> {
        let deploy_branch = "main".to_owned();
        let request = CreateRepositoryRequest { scope: scope(project, fence), deploy_branch };
        self.client.clone().create_repository(request).await.map(drop)
    }

    pub(crate) fn path(&self, project: ProjectId) -> PathBuf {
        self.dir.path().join(format!("{project}.git"))
    }

    pub(crate) fn repository(&self, project: ProjectId) -> Repository {
        Repository::open_bare(self.path(project)).expect("a repository")
    }

    pub(crate) async fn archive(&self, project: ProjectId, commit: Oid) -> Result<Vec<u8>, Status> {
        self.archive_within(project, commit, ArchiveLimits::default()).await
    }

    pub(crate) async fn archive_within(
        &self,
        project: ProjectId,
        commit: Oid,
        limits: ArchiveLimits,
    ) -> Result<Vec<u8>, Status> {
        let request = ArchiveRequest {
            project_id: project.to_string(),
            commit: commit.to_string(),
            limits: Some(limits),
        };
        let mut stream = self.client.clone().archive(request).await?.into_inner();
        let (mut tar, mut ended) = (Vec::new(), false);
        while let Some(message) = stream.message().await? {
            assert!(!ended, "nothing comes after the end");
            assert!(message.chunk.len() <= 64 * 1024, "a chunk of {}", message.chunk.len());
            tar.extend_from_slice(&message.chunk);
            ended = message.end;
        }
        assert!(ended, "a stream without its end was cut off");
        Ok(tar)
    }
}

pub(crate) fn blob(repository: &Repository, data: &[u8]) -> Oid {
    repository.blob(data).expect("a blob")
}

/// Writes a tree whatever its entries are: libgit2 and git would refuse most of what the tests need.
pub(crate) fn tree(repository: &Repository, entries: &[Entry<'_>]) -> Oid {
    let mut raw = Vec::new();
    for (mode, name, oid) in entries {
        raw.extend_from_slice(mode.as_bytes());
        raw.push(b' ');
        raw.extend_from_slice(name);
        raw.push(0);
        raw.extend_from_slice(oid.as_bytes());
    }
    repository.odb().and_then(|odb| odb.write(ObjectType::Tree, &raw)).expect("a tree")
}

pub(crate) fn commit(repository: &Repository, tree: Oid) -> Oid {
    let time = Time::new(1_700_000_000, 0);
    let who = Signature::new("Ada", "ada@example.org", &time).expect("a signature");
    let text = format!(
        "tree {tree}\nauthor {who} 1700000000 +0000\ncommitter {who} 1700000000 +0000\n\nfirst line\n\nmore\n"
    );
    repository.odb().and_then(|odb| odb.write(ObjectType::Commit, text.as_bytes())).expect("a commit")
}
