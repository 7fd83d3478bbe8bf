//! The project's own rules on its files: cheap to check, and easy to break without noticing.

use std::{fs, path::PathBuf};

use anyhow::Result;

use crate::{paths, process, test::tally::Tally};

const ARCHITECTURE_LINES: usize = 200;
const FILE_LINES: usize = 500;
/// The api's store and operation engine, and what opens databases, hold all SQL.
const SQL_PLACES: [&str; 4] = ["services/api/src/store", "services/api/src/engine", "crates/db/", "xtask/"];
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "/bin/sh", "/bin/bash", "/bin/dash"];
/// Hosts that serve container images: nothing of ours may need one.
const REGISTRIES: [&str; 6] =
    ["docker.io/", "registry-1.docker", "ghcr.io", "quay.io", "gcr.io", "mcr.microsoft.com"];

/// A file under version control, or about to be.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Code that is delivered, not what tests or builds it.
    fn is_product(&self) -> bool {
        let folders = ["services/", "crates/", "cli/", "proto/"];
        let tests = self.path.contains("/tests/");
        self.is_rust() && folders.iter().any(|folder| self.path.starts_with(folder)) && !tests
    }

    /// The lines before the file's tests, comments left out, numbered from one.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = self.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        code.lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn find(&self, wrong: impl Fn(&str) -> bool) -> impl Iterator<Item = String> {
        self.code()
            .filter(move |(_, line)| wrong(line))
            .map(|(at, line)| format!("{}:{at}: {}", self.path, line.trim()))
    }
}

/// Runs every rule.
pub(crate) async fn run(tally: &mut Tally) -> Result<()> {
    let files = files().await?;
    let rust = || files.iter().filter(|file| file.is_rust());
    let product = || files.iter().filter(|file| file.is_product());
    let paths = |found: Vec<&File>| found.into_iter().map(|file| file.path.clone()).collect::<Vec<_>>();

    let closed = rust().filter(|file| !file.text.starts_with("//!")).collect();
    tally.check("every Rust file opens with its purpose", &paths(closed));
    let nested = rust().filter(|file| file.path.ends_with("/mod.rs")).collect();
    tally.check("no module is called mod.rs", &paths(nested));
    let shells: Vec<String> = product().flat_map(|file| file.find(names_shell)).collect();
    tally.check("no product path names a shell", &shells);
    let sql = product().filter(|file| !SQL_PLACES.iter().any(|place| file.path.starts_with(place)));
    let sql: Vec<String> = sql.flat_map(|file| file.find(has_sql)).collect();
    tally.check("SQL is in the store and the engine only", &sql);
    let registries: Vec<String> =
        files.iter().filter(|file| needs_no_registry(file)).flat_map(registries).collect();
    tally.check("no registry of images is named", &registries);
    let long = files.iter().filter(|file| file.path == "ARCHITECTURE.md");
    let long = long.filter(|file| file.text.lines().count() > ARCHITECTURE_LINES).collect();
    tally.check(&format!("ARCHITECTURE.md has at most {ARCHITECTURE_LINES} lines"), &paths(long));
    report_sizes(rust());
    Ok(())
}

async fn files() -> Result<Vec<File>> {
    let mut list = process::argv(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]);
    let names = process::stdout(list.current_dir(paths::workspace())).await?;
    let read = |name: &str| {
        let path: PathBuf = paths::workspace().join(name);
        // Binary files and links to nowhere are no text of ours.
        Some(File { path: name.to_owned(), text: fs::read_to_string(path).ok()? })
    };
    Ok(names.split('\0').filter(|name| !name.is_empty()).filter_map(read).collect())
}

fn names_shell(line: &str) -> bool {
    SHELLS.iter().any(|shell| {
        line.contains(&format!("Command::new(\"{shell}\"")) || line.contains(&format!("\"{shell}\", \"-c"))
    })
}

fn has_sql(line: &str) -> bool {
    let starts = ["SELECT ", "INSERT INTO ", "DELETE FROM ", "CREATE TABLE "];
    line.contains('"')
        && (starts.iter().any(|word| line.contains(word))
            || line.contains("UPDATE ") && line.contains(" SET "))
}

fn needs_no_registry(file: &File) -> bool {
    file.path != "xtask/src/test/tidy.rs" && file.path != "Cargo.lock"
}

fn registries(file: &File) -> Vec<String> {
    let lines = file.text.lines().enumerate();
    let named = lines.filter(|(_, line)| REGISTRIES.iter().any(|host| line.contains(host)));
    named.map(|(at, line)| format!("{}:{}: {}", file.path, at + 1, line.trim())).collect()
}

/// A report, not a rule: a long file has a reason or a second concept.
fn report_sizes<'a>(files: impl Iterator<Item = &'a File>) {
    let mut sizes: Vec<(usize, &str)> = files.map(|file| (file.code().count(), file.path.as_str())).collect();
    sizes.sort_unstable();
    let median = sizes.get(sizes.len() / 2).map_or(0, |(lines, _)| *lines);
    println!("{} Rust files, the median has {median} lines", sizes.len());
    for (lines, path) in sizes.iter().rev().take_while(|(lines, _)| *lines > FILE_LINES) {
        println!("  long: {path} has {lines}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn shells_and_sql_are_found_outside_tests_only() {
        let text = "//! x\nlet a = Command::new(\"sh\");\n// Command::new(\"sh\")\n#[cfg(test)]\nmod tests {\nCommand::new(\"sh\")";
        let found: Vec<String> = file("services/a/src/lib.rs", text).find(names_shell).collect();
        assert_eq!(found, ["services/a/src/lib.rs:2: let a = Command::new(\"sh\");"]);
        assert!(has_sql("query(\"UPDATE a SET b = 1\")") && has_sql("\"SELECT 1\""));
        assert!(!has_sql("/// UPDATE a SET b") && !has_sql("let updated = \"x\";"));
    }

    #[test]
    fn tests_are_no_product() {
        assert!(file("services/api/src/lib.rs", "").is_product());
        for path in ["services/api/tests/it/main.rs", "tests/e2e/src/lib.rs", "xtask/src/up.rs", "README.md"]
        {
            assert!(!file(path, "").is_product(), "{path}");
        }
    }

    #[test]
    fn a_registry_is_found_and_debians_package_is_not() {
        assert_eq!(registries(&file("a", "image: ghcr.io/x/y")).len(), 1);
        assert!(registries(&file("a", "apt-get install docker.io")).is_empty());
    }
}
