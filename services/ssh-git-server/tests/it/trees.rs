//! Trees that no build may see, written with git's own plumbing, and packs that are too large.

use std::{fs, path::Path};

use git2::{ObjectType, Oid, Repository};

use crate::{
    fake::Project,
    world::{World, eventually, processes_on},
};

type Entry<'a> = (&'a str, &'a str, Oid);

/// Writes a tree whatever its entries are.
fn tree(repository: &Repository, entries: &[Entry<'_>]) -> Oid {
    let mut raw = Vec::new();
    for (mode, name, oid) in entries {
        raw.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        raw.extend_from_slice(oid.as_bytes());
    }
    repository.odb().and_then(|odb| odb.write(ObjectType::Tree, &raw)).expect("a tree")
}

/// Points the working copy's main at a commit of this tree.
fn commit(at: &Path, build: impl FnOnce(&Repository) -> Oid) {
    let repository = Repository::open(at).expect("a repository");
    let tree = build(&repository);
    let who = "Ada <ada@example.org> 1700000000 +0000";
    let text = format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nevil\n");
    let commit = repository.odb().and_then(|odb| odb.write(ObjectType::Commit, text.as_bytes()));
    repository.reference("refs/heads/main", commit.expect("a commit"), true, "test").expect("moved");
}

async fn is_clean(world: &World, project: &Project) {
    let path = world.repository(project);
    eventually("no git child is left", || processes_on(&path).is_empty()).await;
    let objects = fs::read_dir(path.join("objects")).expect("read");
    let left: Vec<_> = objects
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("tmp_objdir"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let (opened, closed) = {
        let state = world.fake.state();
        (state.opened.len(), state.closed.len())
    };
    assert_eq!(world.tip(project, "refs/heads/main"), "");
    eventually("the api was told of the end", || world.fake.state().closed.len() >= opened.max(closed)).await;
}

async fn refused(build: impl FnOnce(&Repository) -> Oid, says: &str) {
    refused_in(&World::start().await, build, says).await;
}

async fn refused_in(world: &World, build: impl FnOnce(&Repository) -> Oid, says: &str) {
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    commit(&at, build);
    world.git(&ada, &at, &["push", "paas", "main"]).await.fails().says(says);
    is_clean(world, &project).await;
    assert!(world.fake.state().sources.is_empty(), "no whole source reached the api");
}

fn file(repository: &Repository) -> Oid {
    repository.blob(b"#!/bin/sh\nid\n").expect("a blob")
}

#[tokio::test]
async fn a_git_directory_inside_the_tree_is_refused() {
    for name in [".git", ".GIT", "git~1"] {
        let build = |repository: &Repository| {
            let hooks = tree(repository, &[("100755", "post-checkout", file(repository))]);
            let git = tree(repository, &[("40000", "hooks", hooks)]);
            tree(repository, &[("40000", name, git)])
        };
        refused(build, "remote: ").await;
    }
}

#[tokio::test]
async fn a_link_and_a_directory_of_one_name_are_refused() {
    let build = |repository: &Repository| {
        let target = repository.blob(b"/etc").expect("a blob");
        let below = tree(repository, &[("100644", "x", target)]);
        tree(repository, &[("120000", "a", target), ("40000", "a", below)])
    };
    refused(build, "remote: ").await;
}

#[tokio::test]
async fn a_tree_a_hundred_deep_is_refused_by_our_own_walk() {
    let build = |repository: &Repository| {
        let mut below = tree(repository, &[("100644", "x", file(repository))]);
        for _ in 0..100 {
            below = tree(repository, &[("40000", "d", below)]);
        }
        below
    };
    refused(build, "remote: error: the tree is refused: more than 64 directories deep").await;
}

#[tokio::test]
async fn a_tree_bomb_is_refused_by_our_own_walk() {
    let build = |repository: &Repository| {
        let (mut below, mut mode) = (file(repository), "100644");
        for _ in 0..9 {
            let names: Vec<String> = (0..10).map(|n| n.to_string()).collect();
            let entries: Vec<Entry<'_>> = names.iter().map(|name| (mode, name.as_str(), below)).collect();
            below = tree(repository, &entries);
            mode = "40000";
        }
        below
    };
    for world in [World::start().await, World::over_tcp().await] {
        refused_in(&world, build, "remote: error: the tree is refused: more than ").await;
        let cut = || world.fake.state().cut_sources == 1;
        eventually("the api sees a broken stream, not a short one", cut).await;
    }
}

#[tokio::test]
async fn odd_names_are_refused_by_our_own_walk() {
    for name in ["a\nb", "a\\b", "x\u{1b}[2Jy"] {
        let build = |repository: &Repository| tree(repository, &[("100644", name, file(repository))]);
        refused(build, "remote: error: the tree is refused: `").await;
    }
}

#[tokio::test]
async fn a_branch_that_is_no_commit_is_refused() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    let push = world.git(&ada, &at, &["push", "paas", "main^{tree}:refs/heads/main"]).await.fails();
    push.says("a branch must point at a commit");
    is_clean(&world, &project).await;
}

#[tokio::test]
async fn a_pack_over_the_limit_is_refused() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    world.fake.state().projects[0].max_push_bytes = 1 << 20;
    let at = world.working_copy(&ada, &project).await;
    let noise: Vec<u8> = (0..3 << 20).map(|_| rand::random()).collect();
    fs::write(at.join("noise"), noise).expect("written");
    world.commit(&ada, &at, "large").await;
    world.git(&ada, &at, &["push", "paas", "main"]).await.fails().says("exceeds maximum allowed size");
    is_clean(&world, &project).await;
}

#[tokio::test]
async fn a_small_pack_that_unpacks_to_much_is_refused() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    world.fake.state().projects[0].max_source_bytes = 1 << 20;
    let at = world.working_copy(&ada, &project).await;
    fs::write(at.join("zeros"), vec![0; 8 << 20]).expect("written");
    world.commit(&ada, &at, "large").await;
    world.git(&ada, &at, &["push", "paas", "main"]).await.fails().says("more than 1 MiB of files");
    is_clean(&world, &project).await;
}

#[tokio::test]
async fn submodules_and_lfs_pointers_are_pointed_out() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let project = world.project(&ada, "shop").await;
    let at = world.working_copy(&ada, &project).await;
    commit(&at, |repository| {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
        let pointer = repository.blob(pointer).expect("a blob");
        let module = Oid::from_str(&"1".repeat(40)).expect("an oid");
        tree(repository, &[("100644", "big.bin", pointer), ("160000", "module", module)])
    });
    world
        .git(&ada, &at, &["push", "paas", "main"])
        .await
        .ok()
        .says("warning: big.bin is a Git LFS pointer")
        .says("warning: module is a submodule");
}
