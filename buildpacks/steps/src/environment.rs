//! The variables of a build: those of the process, then the user's, which come as files.

use std::path::Path;

use libcnb::{Env, Platform, generic::GenericPlatform};

/// The image's certificate authorities, the installation's own among them.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What tools get: the process's environment and the user's build variables over it.
pub fn environment(platform: &GenericPlatform) -> Env {
    let mut env = Env::from_current();
    for (name, value) in platform.env() {
        env.insert(name, value);
    }
    // Node and uv bring lists of their own, in which a company's authority is missing.
    for name in ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"] {
        if !env.contains_key(name) && Path::new(AUTHORITIES).is_file() {
            env.insert(name, AUTHORITIES);
        }
    }
    env
}

/// The text of a `BP_*` variable; an empty one counts as absent.
pub fn knob(env: &Env, name: &str) -> Option<String> {
    env.get_string_lossy(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Whether a `BP_*` variable says yes: `1`, `true`, `yes` or `on`.
pub fn flag(env: &Env, name: &str) -> bool {
    knob(env, name)
        .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_on_only_when_it_says_yes() {
        let mut env = Env::new();
        for (value, expected) in [("1", true), ("True", true), ("0", false), ("", false), ("no", false)] {
            env.insert("BP_TRY", value);
            assert_eq!(flag(&env, "BP_TRY"), expected, "{value:?}");
        }
    }

    #[test]
    fn an_empty_knob_counts_as_absent() {
        let mut env = Env::new();
        env.insert("BP_TRY", " ");
        assert_eq!(knob(&env, "BP_TRY"), None);
    }
}
