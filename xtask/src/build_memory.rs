//! A bound on the memory of all Dockerfile builds together: the engine's BuildKit runs them in one control group and
//! gives none of them a limit of its own. A privileged step, like the firewall.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::progress::Step;

const CONTROL_GROUPS: &str = "/sys/fs/cgroup";
/// Where the engine puts BuildKit's containers, with its `cgroupfs` driver.
const GROUP: &str = "docker/buildkit";

/// Bounds builds to half of this machine's memory. Where that cannot be done, one line says so: builds work all the same.
pub(crate) fn bound() {
    let step = Step::new("bounding the memory of builds");
    match try_bound(Path::new(CONTROL_GROUPS)) {
        Ok(mib) => step.done(&format!("{mib} MiB for all of them")),
        Err(error) => step.skip(&format!("not bounded: {error:#}")),
    }
}

fn try_bound(root: &Path) -> Result<u64> {
    let information = fs::read_to_string("/proc/meminfo")?;
    let bytes = total_bytes(&information).context("/proc/meminfo has no MemTotal")? / 2;
    let file = limit_file(root)?;
    fs::write(&file, bytes.to_string()).with_context(|| file.display().to_string())?;
    Ok(bytes >> 20)
}

/// The file that takes the limit; its group is made when no build has run yet.
fn limit_file(root: &Path) -> Result<PathBuf> {
    let unified = root.join("cgroup.controllers").is_file();
    let top = if unified { root.to_owned() } else { root.join("memory") };
    let group = top.join(GROUP);
    fs::create_dir_all(&group).with_context(|| group.display().to_string())?;
    if !unified {
        return Ok(group.join("memory.limit_in_bytes"));
    }
    for parent in [top.clone(), top.join("docker")] {
        let file = parent.join("cgroup.subtree_control");
        fs::write(&file, "+memory").with_context(|| file.display().to_string())?;
    }
    Ok(group.join("memory.max"))
}

fn total_bytes(information: &str) -> Option<u64> {
    let line = information.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_read() {
        assert_eq!(total_bytes("MemFree: 1 kB\nMemTotal:   2048 kB\n"), Some(2 << 20));
    }

    #[test]
    fn both_versions_of_control_groups_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let first = limit_file(dir.path()).unwrap();
        assert!(first.ends_with("memory/docker/buildkit/memory.limit_in_bytes"), "{}", first.display());
        fs::write(dir.path().join("cgroup.controllers"), "memory").unwrap();
        let second = limit_file(dir.path()).unwrap();
        assert_eq!(second, dir.path().join("docker/buildkit/memory.max"));
        assert_eq!(fs::read_to_string(dir.path().join("docker/cgroup.subtree_control")).unwrap(), "+memory");
    }
}
