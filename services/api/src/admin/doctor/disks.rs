//! Room on the disks.

use std::path::Path;

use super::{Facts, Finding};

const CHECK: &str = "disk";
const MIB: u64 = 1 << 20;

pub(super) fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let config = &facts.installation.config;
    [&config.data_dir].into_iter().chain(&facts.installation.folders).map(|folder| examine(folder)).collect()
}

fn examine(folder: &Path) -> Finding {
    let path = folder.display();
    match rustix::fs::statvfs(folder) {
        Ok(disk) => judge(&path.to_string(), disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize),
        Err(error) => {
            Finding::error(CHECK, format!("{path}: {error}"), "start PaaSTech once, which makes it")
        }
    }
}

fn judge(path: &str, free: u64, all: u64) -> Finding {
    let what = format!("{} MiB of {} are free at {path}", free / MIB, all / MIB);
    let next = "make room: `docker image prune`, old backups and logs, or a larger disk";
    match free {
        _ if free < 256 * MIB => Finding::error(CHECK, what, next),
        _ if free < 2048 * MIB && free < all / 10 => Finding::warning(CHECK, what, next),
        _ => Finding::ok(CHECK, what),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};

    #[test]
    fn a_small_disk_may_be_fairly_full_and_none_wholly() {
        for (free, all, level) in [
            (100, 100_000, Level::Error),
            (1000, 100_000, Level::Warning),
            (1000, 4000, Level::Ok),
            (3000, 100_000, Level::Ok),
        ] {
            assert_eq!(judge("/", free * MIB, all * MIB).level, level, "{free} of {all}");
        }
    }
}
