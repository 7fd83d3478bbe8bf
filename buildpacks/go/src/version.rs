//! Which Go the module asks for, and the pinned one that satisfies it.

use paastech_buildpack_steps::{Failure, Wheel};
use semver::Version;

/// The least version that `go.mod` accepts: the higher of its `go` and `toolchain` lines.
pub(crate) fn least(go_mod: &str) -> Result<Version, Failure> {
    let mut least = Version::new(1, 21, 0);
    for line in go_mod.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        let asked = match line.split_once(char::is_whitespace) {
            Some(("go", version)) => version.trim(),
            Some(("toolchain", name)) => match name.trim() {
                "default" => continue,
                name => name.trim_start_matches("go"),
            },
            _ => continue,
        };
        let version = parse(asked)
            .ok_or_else(|| Failure::Refused(format!("go.mod says `{line}`, which is no version of Go.")))?;
        least = least.max(version);
    }
    Ok(least)
}

/// The newest patch of the same release, else the next release: a newer Go builds what an older one does.
pub(crate) fn choose<'a>(least: &Version, available: &[&'a Wheel]) -> Result<&'a Wheel, Failure> {
    let fitting = available.iter().copied().filter(|wheel| wheel.version >= *least);
    // Newest first: of the lowest release, the first is its newest patch.
    let release = |version: &Version| (version.major, version.minor);
    let lowest = fitting.clone().map(|wheel| release(&wheel.version)).min();
    fitting.into_iter().find(|wheel| Some(release(&wheel.version)) == lowest).ok_or_else(|| {
        let versions: Vec<String> = available.iter().map(|wheel| wheel.version.to_string()).collect();
        Failure::Refused(format!(
            "go.mod asks for Go {least}, which cannot be had. These can: {}. Lower the `go` and `toolchain` lines, \
             or name another builder or a Dockerfile in paastech.yaml.",
            versions.join(", ")
        ))
    })
}

/// `1.21`, `1.22.3` or `1.24rc1`, for which the release itself will do.
fn parse(text: &str) -> Option<Version> {
    let plain = text.split(['r', 'b', '-']).next()?;
    let mut numbers = plain.split('.').map(str::parse);
    let major = numbers.next()?.ok()?;
    let minor = numbers.next().unwrap_or(Ok(0)).ok()?;
    let patch = numbers.next().unwrap_or(Ok(0)).ok()?;
    numbers.next().is_none().then(|| Version::new(major, minor, patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(go_mod: &str) -> Result<String, String> {
        let wheels = ["1.27.3", "1.26.6", "1.24.11", "1.21.13"].map(|version| Wheel {
            version: version.parse().unwrap(),
            arch: "amd64".to_owned(),
            sha256: String::new(),
        });
        let least = least(go_mod).map_err(|failure| failure.to_string())?;
        let chosen = choose(&least, &wheels.iter().collect::<Vec<_>>());
        chosen.map(|wheel| wheel.version.to_string()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_release_that_is_asked_for_is_chosen_or_the_next() {
        for (lines, expected) in [
            ("module x\n", "1.21.13"),
            ("module x\n\ngo 1.17\n", "1.21.13"),
            ("go 1.24", "1.24.11"),
            ("go 1.24.0 // comment", "1.24.11"),
            ("go 1.22.3", "1.24.11"),
            ("go 1.21\ntoolchain go1.26.1", "1.26.6"),
            ("go 1.26.6\ntoolchain default", "1.26.6"),
            ("go 1.27rc1", "1.27.3"),
            ("go 1.26.7", "1.27.3"),
        ] {
            assert_eq!(chosen(lines).as_deref(), Ok(expected), "{lines:?}");
        }
    }

    #[test]
    fn what_cannot_be_had_is_answered_with_what_can() {
        let error = chosen("go 1.28").unwrap_err();
        assert!(error.contains("Go 1.28.0, which cannot be had. These can: 1.27.3, 1.26.6"), "{error}");
        assert!(chosen("go one").unwrap_err().contains("`go one`"));
    }
}
