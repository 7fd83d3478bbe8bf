//! Which Node the app asks for, and the newest pinned one that fits.

use std::{fs, path::Path};

use libcnb::Env;
use nodejs_semver::{Range, Version};
use paastech_buildpack_steps::{Failure, Wheel, knob};

use crate::package::Package;

const DEFAULT: &str = "22";
const KNOB: &str = "BP_NODE_VERSION";
/// The names of the long-term releases, as version managers spell them.
const LONG_TERM: [(&str, &str); 5] =
    [("*", "24"), ("iron", "20"), ("jod", "22"), ("krypton", "24"), ("hydrogen", "18")];

/// What was asked for and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) range: String,
    pub(crate) place: &'static str,
}

/// The variable, else a version file, else `engines`, else the default.
pub(crate) fn wish(app: &Path, package: &Package, env: &Env) -> Wish {
    if let Some(range) = knob(env, KNOB) {
        return Wish { range, place: KNOB };
    }
    for place in [".nvmrc", ".node-version"] {
        if let Some(range) = first_line(&app.join(place)) {
            return Wish { range, place };
        }
    }
    match package.node() {
        Some(range) => Wish { range: range.to_owned(), place: "engines.node in package.json" },
        None => Wish { range: DEFAULT.to_owned(), place: "the default" },
    }
}

/// The first of `available`, which has the newest first, that fits.
pub(crate) fn choose<'a>(wish: &Wish, available: &[&'a Wheel]) -> Result<&'a Wheel, Failure> {
    let range = Range::parse(spelled_out(&wish.range)).map_err(|_| unavailable(wish, available))?;
    let fits = |wheel: &&&Wheel| {
        Version::parse(wheel.version.to_string()).is_ok_and(|version| range.satisfies(&version))
    };
    available.iter().find(fits).copied().ok_or_else(|| unavailable(wish, available))
}

fn first_line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.find(|line| !line.is_empty()).map(str::to_owned)
}

/// A version manager's word for a range as a range.
fn spelled_out(wish: &str) -> &str {
    let wish = wish.trim();
    match wish.strip_prefix("lts/") {
        Some(name) => LONG_TERM.iter().find(|(known, _)| *known == name).map_or(wish, |(_, major)| major),
        None if matches!(wish, "node" | "stable" | "latest" | "current") => "*",
        None => wish,
    }
}

fn unavailable(wish: &Wish, available: &[&Wheel]) -> Failure {
    let versions: Vec<String> = available.iter().map(|wheel| wheel.version.to_string()).collect();
    Failure::Refused(format!(
        "{} asks for Node {}, which cannot be had. These can: {}. Ask for one of them or a range such as 22.x, \
         or name another builder or a Dockerfile in paastech.yaml.",
        wish.place,
        wish.range,
        versions.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(range: &str) -> Result<String, String> {
        let wheels = ["24.1.0", "22.20.0", "22.11.0", "20.18.0"].map(|version| Wheel {
            version: version.parse().unwrap(),
            arch: "amd64".to_owned(),
            sha256: String::new(),
        });
        let wish = Wish { range: range.to_owned(), place: ".nvmrc" };
        let chosen = choose(&wish, &wheels.iter().collect::<Vec<_>>());
        chosen.map(|wheel| wheel.version.to_string()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_newest_that_fits_is_chosen() {
        for (range, expected) in [
            ("22", "22.20.0"),
            ("v22.11.0", "22.11.0"),
            ("22.11.x", "22.11.0"),
            ("^20.9.0 || ^22.0.0", "22.20.0"),
            (">=18", "24.1.0"),
            (">=20 <22", "20.18.0"),
            ("lts/iron", "20.18.0"),
            ("lts/*", "24.1.0"),
            ("node", "24.1.0"),
        ] {
            assert_eq!(chosen(range).as_deref(), Ok(expected), "{range}");
        }
    }

    #[test]
    fn what_cannot_be_had_is_answered_with_what_can() {
        for range in ["18", "22.12.0", "lts/argon", "nonsense"] {
            let error = chosen(range).unwrap_err();
            assert!(error.contains(&format!(".nvmrc asks for Node {range}")), "{error}");
            assert!(error.contains("These can: 24.1.0, 22.20.0, 22.11.0, 20.18.0."), "{error}");
        }
    }

    #[test]
    fn a_version_file_goes_before_engines_and_the_variable_before_both() {
        let dir = tempfile::tempdir().unwrap();
        let package: Package = serde_json::from_str(r#"{ "engines": { "node": ">=20" } }"#).unwrap();
        let mut env = Env::new();
        assert_eq!(wish(dir.path(), &package, &env).range, ">=20");
        fs::write(dir.path().join(".nvmrc"), "# the team's\nv22.11.0\n").unwrap();
        assert_eq!(wish(dir.path(), &package, &env).range, "v22.11.0");
        env.insert(KNOB, "24");
        assert_eq!(wish(dir.path(), &package, &env).place, KNOB);
        assert_eq!(wish(Path::new("/nowhere"), &Package::default(), &Env::new()).range, DEFAULT);
    }
}
