//! Nothing stays behind: no object of a test's installation in the engine, no process, no file.

use std::{collections::BTreeSet, fs, os::unix::ffi::OsStrExt, path::Path, time::Duration};

use anyhow::Result;
use tokio::time::{Instant, sleep};

use crate::{
    engine, leftovers, paths,
    test::{suite::Suite, tally::Tally},
};

/// For processes whose parents have ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// Compares what is there with what was there before.
pub(crate) async fn run(suite: &mut Suite, tally: &mut Tally) -> Result<()> {
    if let Some(before) = &suite.installations_before {
        let objects = leftovers::list(&engine::find().await?, None).await?;
        let new = objects.iter().filter(|object| !before.contains(&object.prefix));
        tally.check("nothing is left in the engine", &new.map(ToString::to_string).collect::<Vec<_>>());
    }
    tally.check("no process is left", &new_processes(suite).await?);
    let files = fs::read_dir(suite.temporary())?.flatten().map(|entry| entry.path().display().to_string());
    tally.check("no file is left in the temporary directory", &files.collect::<Vec<_>>());
    Ok(())
}

async fn new_processes(suite: &Suite) -> Result<Vec<String>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = processes(suite.temporary())?;
        let new: Vec<String> = now.difference(&suite.processes_before).cloned().collect();
        if new.is_empty() || Instant::now() > deadline {
            return Ok(new);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// The processes, but for ourselves, that run something from the target directory, or whose words or environment
/// name this one: so do git, ssh and a database that a test has started.
pub(crate) fn processes(temporary: &Path) -> Result<BTreeSet<String>> {
    let target = paths::target();
    let own = std::process::id().to_string();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let id = entry.file_name().to_string_lossy().into_owned();
        // Other users' processes cannot be looked at, and are not ours.
        let Ok(program) = fs::read_link(entry.path().join("exe")) else { continue };
        if id == own || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let names = |file: &str| {
            let text = fs::read(entry.path().join(file)).unwrap_or_default();
            let wanted = temporary.as_os_str().as_bytes();
            text.windows(wanted.len()).any(|part| part == wanted)
        };
        if program.starts_with(&target) || names("cmdline") || names("environ") {
            found.insert(format!("process {id}: {}", program.display()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process;

    #[tokio::test]
    async fn a_process_of_a_test_is_seen_whatever_it_runs() {
        let dir = tempfile::tempdir().unwrap();
        let seen = |id: u32| {
            let found = processes(dir.path()).unwrap();
            found.iter().any(|process| process.starts_with(&format!("process {id}: ")))
        };
        let mut other = process::argv(["sleep", "60"]).spawn().unwrap();
        let mut by_environment = process::argv(["sleep", "60"]).env("TMPDIR", dir.path()).spawn().unwrap();
        let log = dir.path().join("log");
        fs::write(&log, "").unwrap();
        let mut by_words = process::argv(["tail", "-f"]).arg(log).spawn().unwrap();
        // A process has its words a moment after it has been started.
        let deadline = Instant::now() + PATIENCE;
        while !(seen(by_environment.id().unwrap()) && seen(by_words.id().unwrap())) {
            assert!(Instant::now() < deadline, "a process of the test was not seen");
            sleep(Duration::from_millis(10)).await;
        }
        assert!(!seen(other.id().unwrap()));
        for child in [&mut other, &mut by_environment, &mut by_words] {
            child.kill().await.unwrap();
        }
    }
}
