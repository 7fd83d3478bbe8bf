//! What an archive holds, and which trees are refused one.

use std::{collections::BTreeMap, io::Read as _};

use git2::{Oid, Repository};
use paastech_git_controller::archive::Limits;
use paastech_proto::git::ArchiveLimits;
use tar::EntryType;
use tonic::Code;

use crate::world::{Entry, World, blob, commit, tree};

/// Name to kind, mode and content (or target), in no order.
fn read(archive: &[u8]) -> BTreeMap<String, (EntryType, u32, String)> {
    let mut entries = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let header = entry.header().clone();
        let mut content = String::new();
        match entry.link_name_bytes() {
            Some(target) => content = String::from_utf8_lossy(&target).into_owned(),
            None => drop(entry.read_to_string(&mut content).expect("content")),
        }
        entries.insert(name, (header.entry_type(), header.mode().expect("a mode"), content));
    }
    entries
}

async fn refusal(build: impl FnOnce(&Repository) -> Oid) -> (Code, String) {
    let world = World::start().await;
    let project = world.project().await;
    let commit = {
        let repository = world.repository(project);
        commit(&repository, build(&repository))
    };
    let status = world.archive(project, commit).await.expect_err("refused");
    (status.code(), status.message().to_owned())
}

#[tokio::test]
async fn an_archive_holds_files_links_and_directories_as_they_are() {
    let world = World::start().await;
    let project = world.project().await;
    let long = "d".repeat(150);
    let commit = {
        let repository = world.repository(project);
        let file = blob(&repository, b"content");
        let target = blob(&repository, b"/etc/passwd");
        let far = blob(&repository, "t/".repeat(200).as_bytes());
        let leaf = tree(&repository, &[("100644", long.as_bytes(), file)]);
        let nested = tree(&repository, &[("40000", long.as_bytes(), leaf), ("100755", b"run", file)]);
        let top: [Entry<'_>; 6] = [
            ("100644", b"-x", file),
            ("120000", b"far", far),
            ("120000", b"link", target),
            ("160000", b"module", Oid::from_str(&"1".repeat(40)).expect("an oid")),
            ("40000", b"nested", nested),
            ("100664", "ü b".as_bytes(), file),
        ];
        commit(&repository, tree(&repository, &top))
    };
    let archive = world.archive(project, commit).await.expect("an archive");
    assert_eq!(&archive[257..263], b"ustar\0");
    assert_eq!(&archive[..3], b"./\0", "engines want a short plain entry first");
    assert_eq!(archive[156], b'5');
    assert!(archive.ends_with(&[0; 1024]), "a tar has an end");
    let entries = read(&archive);
    let file = |mode| (EntryType::Regular, mode, "content".to_owned());
    let directory = (EntryType::Directory, 0o755, String::new());
    let link = |target: &str| (EntryType::Symlink, 0o777, target.to_owned());
    let expected = BTreeMap::from([
        ("./".to_owned(), directory.clone()),
        ("-x".to_owned(), file(0o644)),
        ("far".to_owned(), link(&"t/".repeat(200))),
        ("link".to_owned(), link("/etc/passwd")),
        ("module/".to_owned(), directory.clone()),
        ("nested/".to_owned(), directory.clone()),
        (format!("nested/{long}/"), directory),
        (format!("nested/{long}/{long}"), file(0o644)),
        ("nested/run".to_owned(), file(0o755)),
        ("ü b".to_owned(), file(0o644)),
    ]);
    assert_eq!(entries, expected);
}

#[tokio::test]
async fn an_empty_tree_is_an_archive() {
    let world = World::start().await;
    let project = world.project().await;
    let commit = {
        let repository = world.repository(project);
        commit(&repository, tree(&repository, &[]))
    };
    assert_eq!(read(&world.archive(project, commit).await.expect("an archive")).len(), 1);
}

#[tokio::test]
async fn evil_names_are_refused() {
    let names: [&[u8]; 16] = [
        b".git",
        b".GiT",
        b"git~1",
        b".git ",
        b".git...",
        b".git::$INDEX_ALLOCATION",
        ".g\u{200c}it".as_bytes(),
        b".",
        b"..",
        b"a/b",
        b"../x",
        b"/etc",
        b"a\\b",
        b"a\nb",
        b"\x1b[2J",
        b"\x7f",
    ];
    for name in names {
        let (code, message) = refusal(|repository| {
            let inner = tree(repository, &[("100644", b"x", blob(repository, b"x"))]);
            tree(repository, &[("40000", name, inner)])
        })
        .await;
        assert_eq!(code, Code::InvalidArgument, "{name:?}: {message}");
        assert!(message.starts_with("the tree is refused: `"), "{message}");
        assert!(!message.chars().any(char::is_control), "{message:?}");
    }
}

#[tokio::test]
async fn a_link_and_a_directory_of_one_name_are_refused() {
    let (code, message) = refusal(|repository| {
        let target = blob(repository, b"/etc");
        let below = tree(repository, &[("100644", b"x", target)]);
        tree(repository, &[("120000", b"a", target), ("40000", b"a", below)])
    })
    .await;
    assert_eq!((code, message.contains("`a` is there twice")), (Code::InvalidArgument, true), "{message}");
}

#[tokio::test]
async fn odd_modes_and_kinds_are_refused() {
    for mode in ["100777", "104755", "60644", "10644", "0", "140000"] {
        let (code, message) =
            refusal(|repository| tree(repository, &[(mode, b"x", blob(repository, b"x"))])).await;
        assert_eq!(code, Code::InvalidArgument, "{mode}: {message}");
    }
    let (code, _) = refusal(|repository| {
        let below = tree(repository, &[]);
        tree(repository, &[("100644", b"x", below)])
    })
    .await;
    assert_eq!(code, Code::InvalidArgument, "a tree in place of a file");
    let (code, _) = refusal(|repository| tree(repository, &[("120000", b"x", blob(repository, b""))])).await;
    assert_eq!(code, Code::InvalidArgument, "a link to nothing");
    let (code, _) =
        refusal(|repository| tree(repository, &[("120000", b"x", blob(repository, &[b'a'; 5000]))])).await;
    assert_eq!(code, Code::InvalidArgument, "a link that is too long");
}

#[tokio::test]
async fn too_deep_too_long_and_too_many_are_refused() {
    let (code, message) = refusal(|repository| {
        let mut below = tree(repository, &[]);
        for _ in 0..100 {
            below = tree(repository, &[("40000", b"d", below)]);
        }
        below
    })
    .await;
    assert_eq!((code, message.contains("64 directories deep")), (Code::ResourceExhausted, true), "{message}");
    let (code, message) = refusal(|repository| {
        let mut below = tree(repository, &[]);
        for _ in 0..40 {
            below = tree(repository, &[("40000", &[b'd'; 250], below)]);
        }
        below
    })
    .await;
    assert_eq!((code, message.contains("4096 bytes")), (Code::ResourceExhausted, true), "{message}");
}

#[tokio::test]
async fn a_tree_bomb_is_refused_before_it_goes_off() {
    let world = World::with(Limits { max_entries: 20_000, ..Limits::default() }).await;
    let project = world.project().await;
    let bomb = {
        let repository = world.repository(project);
        let mut below = blob(&repository, b"boom");
        let mut mode = "100644";
        for _ in 0..12 {
            let names: Vec<String> = (0..10).map(|n| n.to_string()).collect();
            let entries: Vec<Entry<'_>> = names.iter().map(|name| (mode, name.as_bytes(), below)).collect();
            below = tree(&repository, &entries);
            mode = "40000";
        }
        commit(&repository, below)
    };
    let status = world.archive(project, bomb).await.expect_err("refused");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("20000 entries"), "{}", status.message());
}

#[tokio::test]
async fn a_small_object_that_unpacks_to_much_is_refused_unread() {
    let world = World::with(Limits { max_bytes: 1 << 20, ..Limits::default() }).await;
    let project = world.project().await;
    let commit = {
        let repository = world.repository(project);
        let zeros = blob(&repository, &vec![0; 2 << 20]);
        commit(&repository, tree(&repository, &[("100644", b"zeros", zeros)]))
    };
    let status = world.archive(project, commit).await.expect_err("refused");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("1 MiB"), "{}", status.message());
}

#[tokio::test]
async fn a_caller_can_lower_the_limits_and_not_raise_them() {
    let world = World::with(Limits { max_entries: 2, ..Limits::default() }).await;
    let project = world.project().await;
    let (two, three) = {
        let repository = world.repository(project);
        let file = blob(&repository, b"x");
        let all: [Entry<'_>; 3] = [("100644", b"a", file), ("100644", b"b", file), ("100644", b"c", file)];
        (commit(&repository, tree(&repository, &all[..2])), commit(&repository, tree(&repository, &all)))
    };
    world.archive(project, two).await.expect("within the limits");
    let raised = ArchiveLimits { max_entries: 99, ..ArchiveLimits::default() };
    let status = world.archive_within(project, three, raised).await.expect_err("refused");
    assert_eq!(status.code(), Code::ResourceExhausted);
    let lowered = ArchiveLimits { max_entries: 1, ..ArchiveLimits::default() };
    let status = world.archive_within(project, two, lowered).await.expect_err("refused");
    assert_eq!(status.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn an_unknown_commit_is_not_found() {
    let world = World::start().await;
    let project = world.project().await;
    let absent = Oid::from_str(&"1".repeat(40)).expect("an oid");
    assert_eq!(world.archive(project, absent).await.expect_err("absent").code(), Code::NotFound);
    let of_blob = blob(&world.repository(project), b"x");
    assert_eq!(world.archive(project, of_blob).await.expect_err("no commit").code(), Code::NotFound);
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_before_it_is_read() {
    let world = World::with(Limits { max_file_bytes: 1 << 20, ..Limits::default() }).await;
    let project = world.project().await;
    let (most, more) = {
        let repository = world.repository(project);
        let of = |size| {
            commit(&repository, tree(&repository, &[("100644", b"zeros", blob(&repository, &vec![0; size]))]))
        };
        (of(1 << 20), of((1 << 20) + 1))
    };
    world.archive(project, most).await.expect("within the limits");
    let status = world.archive(project, more).await.expect_err("refused");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("`zeros` is a file of more than 1 MiB"), "{}", status.message());
}

#[tokio::test]
async fn a_path_that_no_archive_can_hold_is_refused_and_not_left_out() {
    let mut name = vec![b'a'; 150];
    name[0] = 0xff;
    let (code, message) =
        refusal(|repository| tree(repository, &[("100644", &name, blob(repository, b"x"))])).await;
    assert_eq!(code, Code::InvalidArgument, "{message}");
    assert!(message.contains("no archive can hold"), "{message}");
}
