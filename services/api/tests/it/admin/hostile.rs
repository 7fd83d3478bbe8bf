//! Archives that nobody honest made: refused, and nothing has changed.

use std::{fs, io::Read as _};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Archive, Builder, EntryType, Header};

use super::{
    Admin,
    backup::{Elsewhere, lived_in},
};
use crate::{database::Database, harness::on_each_database};

type Entries = Vec<(String, Vec<u8>)>;

fn read(archive: &[u8]) -> Entries {
    let mut archive = Archive::new(archive);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), content)
    });
    entries.collect()
}

/// An entry whose name nobody has checked.
fn append(to: &mut Builder<Vec<u8>>, kind: EntryType, name: &str, content: &[u8]) {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    if matches!(kind, EntryType::Symlink | EntryType::Link) {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    to.append(&header, content).unwrap();
}

fn write(entries: &Entries) -> Vec<u8> {
    let mut to = Builder::new(Vec::new());
    for (name, content) in entries {
        append(&mut to, EntryType::Regular, name, content);
    }
    to.into_inner().unwrap()
}

/// A changed archive whose sums are right.
fn forged(good: &[u8], change: impl FnOnce(&mut Entries, &mut Value)) -> Vec<u8> {
    let mut entries = read(good);
    let (name, text) = entries.pop().unwrap();
    assert_eq!(name, "manifest.json");
    let mut manifest: Value = serde_json::from_slice(&text).unwrap();
    change(&mut entries, &mut manifest);
    let sum =
        |content: &Vec<u8>| json!({ "bytes": content.len(), "sha256": hex::encode(Sha256::digest(content)) });
    manifest["entries"] = entries.iter().map(|(name, content)| (name.clone(), sum(content))).collect();
    entries.push((name, manifest.to_string().into_bytes()));
    write(&entries)
}

fn table<'a>(entries: &'a mut Entries, name: &str) -> &'a mut Vec<u8> {
    let name = format!("database/{name}.jsonl");
    &mut entries.iter_mut().find(|(found, _)| *found == name).unwrap().1
}

/// An entry more, before the manifest.
fn with(good: &[u8], kind: EntryType, name: &str) -> Vec<u8> {
    let mut to = Builder::new(Vec::new());
    let mut entries = read(good);
    let (manifest, text) = entries.pop().unwrap();
    for (name, content) in &entries {
        append(&mut to, EntryType::Regular, name, content);
    }
    append(&mut to, kind, name, b"");
    append(&mut to, EntryType::Regular, &manifest, &text);
    to.into_inner().unwrap()
}

fn variants(good: &[u8], project: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut flipped = good.to_vec();
    let at = good.windows(7).position(|part| part == b"example").unwrap();
    flipped[at] ^= 1;
    let names = |change: fn(&mut Entries)| forged(good, |entries, _| change(entries));
    let bundle = format!("repositories/{project}.bundle");
    vec![
        ("holds \"../../etc/cron.d/x\"", with(good, EntryType::Regular, "../../etc/cron.d/x")),
        ("holds \"/etc/cron.d/x\"", with(good, EntryType::Regular, "/etc/cron.d/x")),
        ("holds \"database/../x.jsonl\"", with(good, EntryType::Regular, "database/../x.jsonl")),
        (
            "holds \"repositories/../../x.bundle\"",
            with(good, EntryType::Regular, "repositories/../../x.bundle"),
        ),
        ("holds \"secrets/../kek\"", with(good, EntryType::Regular, "secrets/../kek")),
        ("holds \"database/session.jsonl\"", with(good, EntryType::Regular, "database/session.jsonl")),
        ("holds \"database/account.jsonl\"", with(good, EntryType::Symlink, "database/account.jsonl")),
        ("holds \"secrets/jwt\"", with(good, EntryType::Link, "secrets/jwt")),
        ("holds \"logs\"", with(good, EntryType::Directory, "logs")),
        ("holds \"long\"", with(good, EntryType::GNULongName, "long")),
        ("holds \"pax\"", with(good, EntryType::XHeader, "pax")),
        ("twice", with(good, EntryType::Regular, &bundle)),
        ("not as its manifest says", with(good, EntryType::Regular, "secrets/label-hmac")),
        ("not as its manifest says", flipped),
        ("cut off", good[..good.len() / 2].to_vec()),
        ("cut off", good[..good.len() - 2048].to_vec()),
        ("cut off", Vec::new()),
        ("no backup", vec![b'x'; 4096]),
        ("newer PaaSTech (format 2)", forged(good, |_, manifest| manifest["format"] = json!(2))),
        ("newer PaaSTech (schema 9999", forged(good, |_, manifest| manifest["schema"] = json!(9999))),
        ("manifest cannot be read", forged(good, |_, manifest| manifest["more"] = json!(1))),
        (
            "lacks database/account.jsonl",
            names(|entries| entries.retain(|(name, _)| name != "database/account.jsonl")),
        ),
        (
            "database/account.jsonl is damaged",
            names(|entries| *table(entries, "account") = b"{\"id\":1}\nnonsense\n".to_vec()),
        ),
        ("row of account", names(|entries| *table(entries, "account") = b"{\"id\":[1]}\n".to_vec())),
        (
            "row of account",
            names(|entries| {
                *table(entries, "account") = b"{\"id) SELECT 1; DROP TABLE account; --\":\"x\"}\n".to_vec()
            }),
        ),
        ("row of project", names(|entries| *table(entries, "account") = Vec::new())),
    ]
}

#[tokio::test]
async fn a_forged_archive_is_refused_and_changes_nothing() {
    on_each_database(async |server| {
        let project = lived_in(server).await;
        let admin = Admin::of(server).await;
        let file = admin.file("backup.tar");
        admin.run(&["backup", "--to", &file, "--include-secrets"]).await.succeeded();
        let good = fs::read(&file).unwrap();
        let database = Database::each().await.pop().unwrap();
        let elsewhere = Elsewhere::new(server, &database).await;
        let secrets = elsewhere.config.secrets_dir();
        for (why, archive) in variants(&good, &project) {
            let file = elsewhere.admin.file("forged.tar");
            fs::write(&file, archive).unwrap();
            elsewhere.admin.run(&["restore", "--from", &file]).await.failed(why);
            assert!(elsewhere.fakes.repository(&project).is_none(), "{why}");
            assert_eq!(fs::read_dir(&secrets).map_or(0, Iterator::count), 0, "{why}");
        }
        elsewhere.admin.run(&["restore", "--from", &file]).await.succeeded();
        elsewhere.admin.stop().await;
        database.drop().await;
        admin.stop().await;
    })
    .await;
}
