//! Making, reading, changing and removing repositories.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use paastech_git_controller::build;
use paastech_proto::git::{
    DeleteRepositoryRequest, InspectRepositoryRequest, ListRefsRequest, ListRepositoriesRequest,
    MaintainRequest, ResolveRevisionRequest, SetDeployBranchRequest,
};
use paastech_runtime::Shutdown;
use paastech_types::ProjectId;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tonic::Code;

use crate::world::{World, blob, commit, config, scope, tree};

#[tokio::test]
async fn a_repeat_of_create_or_delete_is_fine() {
    let world = World::start().await;
    let project = ProjectId::new();
    world.create(project, 1).await.expect("created");
    world.create(project, 1).await.expect("created again");
    let mut client = world.client.clone();
    let listed = client.list_repositories(ListRepositoriesRequest {}).await.expect("listed").into_inner();
    assert_eq!(listed.project_ids, [project.to_string()]);
    for _ in 0..2 {
        let request = DeleteRepositoryRequest { scope: scope(project, 2) };
        client.delete_repository(request).await.expect("deleted");
    }
    assert!(!world.path(project).exists());
    assert_eq!(fs::read_dir(world.dir.path().join("trash")).expect("read").count(), 0);
    let request = InspectRepositoryRequest { project_id: project.to_string() };
    assert_eq!(client.inspect_repository(request).await.expect_err("gone").code(), Code::NotFound);
}

#[tokio::test]
async fn two_creations_at_once_make_one_repository() {
    let world = World::start().await;
    let project = ProjectId::new();
    let (a, b) = tokio::join!(world.create(project, 1), world.create(project, 1));
    a.expect("created");
    b.expect("created");
    assert_eq!(fs::read_dir(world.dir.path().join("new")).expect("read").count(), 0);
}

#[tokio::test]
async fn every_change_is_fenced() {
    let world = World::start().await;
    let project = ProjectId::new();
    world.create(project, 5).await.expect("created");
    let mut client = world.client.clone();
    let branch =
        |fence| SetDeployBranchRequest { scope: scope(project, fence), deploy_branch: "trunk".to_owned() };
    let late = client.set_deploy_branch(branch(4)).await.expect_err("fenced");
    assert_eq!(late.code(), Code::AlreadyExists);
    client.set_deploy_branch(branch(5)).await.expect("an equal fence");
    client.set_deploy_branch(branch(7)).await.expect("a higher fence");
    assert_eq!(world.create(project, 6).await.expect_err("fenced").code(), Code::AlreadyExists);
    let maintain = client.maintain(MaintainRequest { scope: scope(project, 6) }).await;
    assert_eq!(maintain.expect_err("fenced").code(), Code::AlreadyExists);
    let delete = client.delete_repository(DeleteRepositoryRequest { scope: scope(project, 6) }).await;
    assert_eq!(delete.expect_err("fenced").code(), Code::AlreadyExists);
    let request = InspectRepositoryRequest { project_id: project.to_string() };
    let seen = client.inspect_repository(request).await.expect("inspected").into_inner();
    assert_eq!((seen.fence, seen.deploy_branch.as_str(), seen.head_commit.as_str()), (7, "trunk", ""));
    assert!(seen.size_bytes > 0);
}

#[tokio::test]
async fn what_is_malformed_is_invalid_and_touches_nothing() {
    let world = World::start().await;
    let mut client = world.client.clone();
    for project_id in ["", "../x", "0193E0C48F0070008000012345678900", "a/../../etc", "\0"] {
        let request = InspectRepositoryRequest { project_id: project_id.to_owned() };
        let status = client.inspect_repository(request).await.expect_err("invalid");
        assert_eq!(status.code(), Code::InvalidArgument, "{project_id:?}");
    }
    let project = world.project().await;
    for deploy_branch in ["", "--exec=x", "a..b", "../../HEAD", "a b", "refs/heads/x.lock"] {
        let request =
            SetDeployBranchRequest { scope: scope(project, 1), deploy_branch: deploy_branch.to_owned() };
        let status = client.set_deploy_branch(request).await.expect_err("invalid");
        assert_eq!(status.code(), Code::InvalidArgument, "{deploy_branch:?}");
    }
    let status = client.maintain(MaintainRequest { scope: None }).await.expect_err("invalid");
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn refs_are_listed_and_revisions_resolved() {
    let world = World::start().await;
    let project = world.project().await;
    let (tip, tree_id) = {
        let repository = world.repository(project);
        let tree_id = tree(&repository, &[("100644", b"x", blob(&repository, b"x"))]);
        let tip = commit(&repository, tree_id);
        repository.reference("refs/heads/main", tip, false, "test").expect("a branch");
        repository.reference("refs/tags/light", tip, false, "test").expect("a tag");
        let target = repository.find_object(tip, None).expect("a commit");
        let who = git2::Signature::now("Ada", "ada@example.org").expect("a signature");
        repository.tag("v1", &target, &who, "one", false).expect("an annotated tag");
        (tip.to_string(), tree_id.to_string())
    };
    let mut client = world.client.clone();
    let list = |prefix: &str| ListRefsRequest { project_id: project.to_string(), prefix: prefix.to_owned() };
    let all = client.list_refs(list("")).await.expect("listed").into_inner().refs;
    let names: Vec<&str> = all.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(names, ["refs/heads/main", "refs/tags/light", "refs/tags/v1"]);
    let heads = client.list_refs(list("refs/heads/")).await.expect("listed").into_inner().refs;
    assert_eq!((heads.len(), heads[0].oid.as_str()), (1, tip.as_str()));
    let resolve = |revision: &str| ResolveRevisionRequest {
        project_id: project.to_string(),
        revision: revision.to_owned(),
    };
    for revision in ["main", "refs/heads/main", "light", "v1", "refs/tags/v1", &tip, &tip[..7], &tip[..20]] {
        let found = client.resolve_revision(resolve(revision)).await.expect(revision).into_inner();
        assert_eq!((&found.commit, &found.tree), (&tip, &tree_id), "{revision}");
        assert_eq!(found.subject, "first line");
    }
    for (revision, code) in [
        ("absent", Code::NotFound),
        (&tip[..6], Code::NotFound),
        (&"1".repeat(40), Code::NotFound),
        (tree_id.as_str(), Code::NotFound),
        ("", Code::InvalidArgument),
        ("HEAD", Code::InvalidArgument),
        ("main^{tree}", Code::InvalidArgument),
        ("main~1", Code::InvalidArgument),
        (":/first", Code::InvalidArgument),
        ("--all", Code::InvalidArgument),
    ] {
        let status = client.resolve_revision(resolve(revision)).await.expect_err(revision);
        assert_eq!(status.code(), code, "{revision}: {}", status.message());
    }
}

#[tokio::test]
async fn maintenance_packs_objects_and_prunes_what_an_interrupted_push_left() {
    let world = World::start().await;
    let project = world.project().await;
    let objects = world.path(project).join("objects");
    {
        let repository = world.repository(project);
        let tip = commit(&repository, tree(&repository, &[("100644", b"x", blob(&repository, b"x"))]));
        repository.reference("refs/heads/main", tip, false, "test").expect("a branch");
    }
    let stale = objects.join("tmp_objdir-incoming-x");
    fs::create_dir_all(stale.join("pack")).expect("made");
    let two_days_ago = SystemTime::now() - Duration::from_secs(2 * 86_400);
    fs::File::open(&stale).and_then(|dir| dir.set_modified(two_days_ago)).expect("aged");
    let young = objects.join("tmp_objdir-incoming-y");
    fs::create_dir(&young).expect("made");
    let request = MaintainRequest { scope: scope(project, 1) };
    let size = world.client.clone().maintain(request).await.expect("maintained").into_inner().size_bytes;
    assert!(size > 0);
    assert!(!stale.exists() && young.exists());
    let packs = fs::read_dir(objects.join("pack")).expect("read").count();
    assert!(packs >= 2, "a pack and its index, found {packs}");
}

#[tokio::test]
async fn maintenance_runs_in_the_cage_and_ends_with_the_process() {
    let world = World::start().await;
    let project = world.project().await;
    let path = world.path(project);
    // git waits for somebody to write into it.
    mknodat(CWD, path.join("packed-refs"), FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
    let mut client = world.client.clone();
    let call =
        tokio::spawn(
            async move { client.maintain(MaintainRequest { scope: scope(project, 1) }).await.map(drop) },
        );
    let until = std::time::Instant::now() + Duration::from_secs(20);
    let caged = |dir: &PathBuf| {
        fs::read_to_string(dir.join("status")).is_ok_and(|status| status.contains("NoNewPrivs:\t1"))
    };
    while !processes_on(&path).iter().any(caged) {
        assert!(std::time::Instant::now() < until, "git does not run in its cage");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.shutdown.start_drain();
    let ended =
        tokio::time::timeout(Duration::from_secs(10), call).await.expect("it ends").expect("no panic");
    assert_eq!(ended.expect_err("cut short").code(), Code::Unavailable);
    assert_eq!(processes_on(&path), Vec::<PathBuf>::new());
}

/// The processes whose command line names this path.
fn processes_on(path: &Path) -> Vec<PathBuf> {
    let wanted = path.to_str().expect("UTF-8");
    let dirs = fs::read_dir("/proc").expect("proc").filter_map(Result::ok).map(|entry| entry.path());
    let names_it = |dir: &PathBuf| {
        fs::read(dir.join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(wanted))
    };
    dirs.filter(names_it).collect()
}

#[tokio::test]
async fn a_start_clears_what_an_earlier_process_left() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for left in ["new/repository-a", "trash/deleted-b"] {
        fs::create_dir_all(dir.path().join(left).join("objects")).expect("made");
    }
    build(config(dir.path()), Shutdown::new()).await.expect("starts");
    let empty = || {
        ["new", "trash"].iter().all(|name| fs::read_dir(dir.path().join(name)).expect("read").count() == 0)
    };
    let until = std::time::Instant::now() + Duration::from_secs(10);
    while !empty() {
        assert!(std::time::Instant::now() < until, "leftovers are still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
