//! The git program, as every child of ours runs it: no environment, no configuration but ours, no shell.

use std::{ffi::OsString, path::Path};

/// The only environment a git child has.
pub const ENVIRONMENT: [(&str, &str); 8] = [
    ("PATH", "/usr/local/bin:/usr/bin:/bin"),
    ("LANG", "C.UTF-8"),
    ("HOME", "/nonexistent"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    // No transport at all.
    ("GIT_ALLOW_PROTOCOL", ""),
];

/// The configuration of every git child, as `-c` arguments: it wins over the repository's own.
#[must_use]
pub fn configuration(repository: &Path) -> Vec<OsString> {
    let mut safe = OsString::from("safe.directory=");
    safe.push(repository);
    let fixed = [
        "core.fsmonitor=false",
        "core.bigFileThreshold=16m",
        // Without a metacharacter git runs this itself instead of a shell; it lists no refs.
        "core.alternateRefsCommand=true",
        "gc.auto=0",
        "maintenance.auto=false",
        "pack.threads=1",
        "pack.windowMemory=64m",
        "protocol.allow=never",
    ];
    let mut arguments = vec![OsString::from("-c"), safe];
    for setting in fixed {
        arguments.extend([OsString::from("-c"), OsString::from(setting)]);
    }
    arguments
}
