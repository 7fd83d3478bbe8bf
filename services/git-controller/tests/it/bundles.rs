//! A repository as a bundle, out and in.

use std::fs;

use paastech_proto::git::{
    ExportRepositoryRequest, ImportEnd, ImportHeader, ImportRepositoryRequest,
    import_repository_request::Part,
};
use paastech_types::ProjectId;
use tonic::{Code, Status};

use crate::world::{World, blob, commit, scope, tree};

impl World {
    async fn export(&self, project: ProjectId) -> Result<Vec<u8>, Status> {
        let request = ExportRepositoryRequest { project_id: project.to_string() };
        let mut stream = self.client.clone().export_repository(request).await?.into_inner();
        let (mut bundle, mut ended) = (Vec::new(), false);
        while let Some(message) = stream.message().await? {
            assert!(!ended && message.chunk.len() <= 64 * 1024);
            bundle.extend_from_slice(&message.chunk);
            ended = message.end;
        }
        assert!(ended, "a stream without its end was cut off");
        Ok(bundle)
    }

    async fn import(&self, project: ProjectId, fence: i64, bundle: &[u8]) -> Result<(), Status> {
        let header = ImportHeader { scope: scope(project, fence), deploy_branch: "main".to_owned() };
        let chunks = bundle.chunks(1000).map(|chunk| Part::Chunk(chunk.to_vec()));
        let parts = [Part::Header(header)].into_iter().chain(chunks).chain([Part::End(ImportEnd {})]);
        self.send(parts.collect()).await
    }

    async fn send(&self, parts: Vec<Part>) -> Result<(), Status> {
        let parts = parts.into_iter().map(|part| ImportRepositoryRequest { part: Some(part) });
        let stream = tokio_stream::iter(parts.collect::<Vec<_>>());
        self.client.clone().import_repository(stream).await.map(drop)
    }

    /// A repository with a branch, a tag object and more than one chunk; the branch's commit.
    async fn filled(&self) -> (ProjectId, git2::Oid) {
        let project = self.project().await;
        let repository = self.repository(project);
        let noise: Vec<u8> = (0..8000).flat_map(|_| *uuid::Uuid::new_v4().as_bytes()).collect();
        let tip = commit(&repository, tree(&repository, &[("100644", b"x", blob(&repository, &noise))]));
        repository.reference("refs/heads/main", tip, false, "test").expect("a branch");
        let who = git2::Signature::now("Ada", "ada@example.org").expect("a signature");
        let target = repository.find_object(tip, None).expect("a commit");
        repository.tag("v1", &target, &who, "one", false).expect("an annotated tag");
        (project, tip)
    }
}

#[tokio::test]
async fn what_comes_out_goes_in_again() {
    let world = World::start().await;
    let (project, tip) = world.filled().await;
    let bundle = world.export(project).await.expect("exported");
    assert!(bundle.len() > 64 * 1024, "more than one chunk");
    let copy = ProjectId::new();
    world.import(copy, 3, &bundle).await.expect("imported");
    let repository = world.repository(copy);
    assert_eq!(repository.refname_to_id("refs/heads/main").expect("the branch"), tip);
    assert_eq!(
        repository.revparse_single("refs/tags/v1^{tree}").expect("whole").kind(),
        Some(git2::ObjectType::Tree)
    );
    assert_eq!(repository.head().expect("the deploy branch").name().ok(), Some("refs/heads/main"));
    assert_eq!(world.create(copy, 2).await.expect_err("fenced").code(), Code::AlreadyExists);
}

#[tokio::test]
async fn an_import_replaces_what_is_there_unless_its_fence_is_lower() {
    let world = World::start().await;
    let (project, tip) = world.filled().await;
    let bundle = world.export(project).await.expect("exported");
    let other = ProjectId::new();
    world.create(other, 5).await.expect("created");
    let late = world.import(other, 4, &bundle).await.expect_err("fenced");
    assert_eq!(late.code(), Code::AlreadyExists);
    assert!(world.repository(other).refname_to_id("refs/heads/main").is_err(), "nothing has changed");
    world.import(other, 6, &bundle).await.expect("imported");
    assert_eq!(world.repository(other).refname_to_id("refs/heads/main").expect("the branch"), tip);
    assert_eq!(fs::read_dir(world.dir.path().join("new")).expect("read").count(), 0, "nothing is left");
}

#[tokio::test]
async fn a_repository_without_refs_is_an_empty_bundle() {
    let world = World::start().await;
    let project = world.project().await;
    assert!(world.export(project).await.expect("exported").is_empty());
    world.import(project, 2, b"").await.expect("imported");
    assert_eq!(world.repository(project).references().expect("readable").count(), 0);
    let absent = world.export(ProjectId::new()).await.expect_err("absent");
    assert_eq!(absent.code(), Code::NotFound);
}

#[tokio::test]
async fn a_bundle_that_is_damaged_or_hostile_changes_nothing() {
    let world = World::start().await;
    let (project, tip) = world.filled().await;
    let good = world.export(project).await.expect("exported");
    let pack = good.windows(2).position(|two| two == b"\n\n").expect("a head") + 2;
    let with_head = |head: &str| [head.as_bytes(), &good[pack..]].concat();
    let mut flipped = good.clone();
    flipped[pack + 200] ^= 1;
    let absent = "1".repeat(40);
    for (what, bundle) in [
        ("cut off", good[..good.len() - 1000].to_vec()),
        ("cut off in its head", good[..30].to_vec()),
        ("a flipped bit", flipped),
        ("no bundle", b"nonsense".to_vec()),
        ("binary", vec![0xff; 9000]),
        ("an endless line", [b"# v2 git bundle\n".as_slice(), &vec![b'a'; 10_000]].concat()),
        ("a prerequisite", with_head(&format!("# v2 git bundle\n-{tip} x\n{tip} refs/heads/main\n\n"))),
        ("a ref to nothing", with_head(&format!("# v2 git bundle\n{absent} refs/heads/main\n\n"))),
        ("a ref beside refs/", with_head(&format!("# v2 git bundle\n{tip} ../../x\n\n"))),
        ("a path in a ref", with_head(&format!("# v2 git bundle\n{tip} refs/../../x\n\n"))),
        ("a ref's config", with_head(&format!("# v2 git bundle\n{tip} config\n\n"))),
    ] {
        let refused = world.import(project, 9, &bundle).await.expect_err(what);
        assert_eq!(refused.code(), Code::InvalidArgument, "{what}: {}", refused.message());
    }
    let header = ImportHeader { scope: scope(project, 9), deploy_branch: "main".to_owned() };
    let without_end = world.send(vec![Part::Header(header), Part::Chunk(good.clone())]).await;
    assert_eq!(without_end.expect_err("cut off").code(), Code::Unavailable);
    let headless = world.send(vec![Part::Chunk(good)]).await;
    assert_eq!(headless.expect_err("no header").code(), Code::InvalidArgument);
    assert_eq!(world.repository(project).refname_to_id("refs/heads/main").expect("the branch"), tip);
    assert_eq!(fs::read_dir(world.dir.path().join("new")).expect("read").count(), 0, "nothing is left");
}
