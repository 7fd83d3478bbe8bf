//! `held`: the container's health check, one process that stays instead of one that is started every second.
//!
//! Its first run in a container's life waits for the gate and for the app and exits 0, which makes the container
//! healthy. The next one holds: while a check runs the engine keeps the status. It exits 1 only after several failures
//! in a row. However a hold ends, the run after it is a first one again: it asks once, and the engine learns the answer.

use std::{
    fs,
    path::Path,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use crate::check::{Target, check};

/// In every container, `scratch` and read-only ones too. The app may write it: that can only hurt its own gate.
const MARKER: &str = "/dev/shm/.paastech-ready";
const GATE_PAUSE: Duration = Duration::from_millis(100);
const READY_PAUSE: Duration = Duration::from_millis(50);
const HOLD_PAUSE: Duration = Duration::from_secs(3);
const FAILURES: u32 = 3;
const HOLD: Duration = Duration::from_secs(3600);

/// Runs one health check, which may take very long.
pub(crate) fn run(target: &Target, gate: &Path) -> ExitCode {
    let life = life();
    if fs::read_to_string(MARKER).is_ok_and(|text| text == life) {
        // Now, since whoever kills this hold leaves no time for it.
        let _ = fs::remove_file(MARKER);
        return hold(target);
    }
    become_ready(target, gate, &life)
}

fn become_ready(target: &Target, gate: &Path, life: &str) -> ExitCode {
    while !is_open(gate) {
        thread::sleep(GATE_PAUSE);
    }
    while check(target).is_err() {
        thread::sleep(READY_PAUSE);
    }
    // Without the marker the next run asks again and exits at once: dearer, but right.
    let _ = fs::write(MARKER, life);
    ExitCode::SUCCESS
}

/// A gate is open when its file is there and not empty: it can be emptied, but not removed, from outside.
fn is_open(gate: &Path) -> bool {
    fs::metadata(gate).is_ok_and(|metadata| metadata.len() > 0)
}

fn hold(target: &Target) -> ExitCode {
    let end = Instant::now() + HOLD;
    let mut failures = 0;
    while Instant::now() < end {
        failures = if check(target).is_ok() { 0 } else { failures + 1 };
        if failures == FAILURES {
            println!("{FAILURES} checks in a row failed");
            return ExitCode::FAILURE;
        }
        thread::sleep(HOLD_PAUSE);
    }
    ExitCode::SUCCESS
}

/// When the container's first process started: a marker from before a restart does not count.
fn life() -> String {
    fs::read_to_string("/proc/1/stat").ok().and_then(|stat| start_time(&stat)).unwrap_or_default()
}

/// Field 22 of `/proc/<pid>/stat`; the second field is a name in parentheses that may hold anything.
fn start_time(stat: &str) -> Option<String> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_gate_file_is_shut() {
        let gate = std::env::temp_dir().join(format!("paastech-gate-{}", std::process::id()));
        assert!(!is_open(&gate));
        fs::write(&gate, "").expect("written");
        assert!(!is_open(&gate));
        fs::write(&gate, "open\n").expect("written");
        assert!(is_open(&gate));
        fs::remove_file(&gate).expect("removed");
    }

    #[test]
    fn reads_the_start_time_past_a_hostile_name() {
        let stat = "1 (a) b) 5) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 7 8";
        assert_eq!(start_time(stat).as_deref(), Some("123456"));
        assert_eq!(start_time("1 (x) S 0"), None);
    }
}
