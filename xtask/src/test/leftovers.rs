//! Nothing stays behind: no object of a test's installation in the engine, no process, no file.

use std::{collections::BTreeSet, fs};

use anyhow::Result;

use crate::{
    engine, leftovers, paths,
    test::{suite::Suite, tally::Tally},
};

/// Compares what is there with what was there before.
pub(crate) async fn run(suite: &mut Suite, tally: &mut Tally) -> Result<()> {
    if let Some(before) = &suite.instances_before {
        let objects = leftovers::list(&engine::find().await?, None).await?;
        let new = objects.iter().filter(|object| !before.contains(&object.instance));
        tally.check("nothing is left in the engine", &new.map(ToString::to_string).collect::<Vec<_>>());
    }
    let new: Vec<String> = processes()?.difference(&suite.processes_before).cloned().collect();
    tally.check("no process is left", &new);
    let files = fs::read_dir(suite.temporary())?.flatten().map(|entry| entry.path().display().to_string());
    tally.check("no file is left in the temporary directory", &files.collect::<Vec<_>>());
    Ok(())
}

/// The processes, but for ourselves, that run something from the target directory.
pub(crate) fn processes() -> Result<BTreeSet<String>> {
    let target = paths::target();
    let own = std::process::id().to_string();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let id = entry.file_name().to_string_lossy().into_owned();
        // Other users' processes cannot be looked at, and are not ours.
        let Ok(program) = fs::read_link(entry.path().join("exe")) else { continue };
        if id != own && program.starts_with(&target) && id.bytes().all(|byte| byte.is_ascii_digit()) {
            found.insert(format!("process {id}: {}", program.display()));
        }
    }
    Ok(found)
}
