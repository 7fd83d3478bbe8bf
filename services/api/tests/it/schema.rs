//! The diagram in `ARCHITECTURE.md` against the migrations.

use std::collections::BTreeSet;

use paastech_db::{Database, sqlx};

/// Tables, and foreign keys as "parent child column".
type Schema = (BTreeSet<String>, BTreeSet<String>);

#[tokio::test]
async fn the_diagram_shows_the_tables_and_foreign_keys_of_the_migrations() {
    let (drawn_tables, drawn_keys) = drawn();
    let (tables, keys) = migrated().await;
    assert_eq!(drawn_tables, tables);
    assert_eq!(drawn_keys, keys);
}

fn drawn() -> Schema {
    let text = include_str!("../../../../ARCHITECTURE.md");
    let diagram =
        text.split("erDiagram").nth(1).and_then(|rest| rest.split("```").next()).expect("a diagram");
    let (mut tables, mut keys) = Schema::default();
    for line in diagram.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<_> = line.split_whitespace().collect();
        tables.insert(words[0].to_owned());
        if let [parent, "||--o{", child, ":", column] = words[..] {
            tables.insert(child.to_owned());
            keys.insert(format!("{parent} {child} {column}"));
        }
    }
    (tables, keys)
}

async fn migrated() -> Schema {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let address = format!("sqlite:{}?mode=rwc", dir.path().join("db").display());
    let database = Database::open(&address, &sqlx::migrate!("./migrations")).await.expect("migrates");
    let mut tx = database.read().await.expect("a transaction");
    let tables: Vec<(String,)> = sqlx::query_as(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_sqlx%'",
    )
    .fetch_all(&mut *tx)
    .await
    .expect("tables");
    let keys: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT f.\"table\", m.name, f.\"from\" FROM sqlite_master m, pragma_foreign_key_list(m.name) f \
         WHERE m.type = 'table'",
    )
    .fetch_all(&mut *tx)
    .await
    .expect("keys");
    let keys = keys.into_iter().map(|(parent, child, column)| format!("{parent} {child} {column}"));
    (tables.into_iter().map(|(name,)| name).collect(), keys.collect())
}
