//! The one Python of the image, and whether the app can live with it.

use std::{fs, path::Path, str::FromStr};

use libcnb::Env;
use paastech_buildpack_steps::{Failure, Tool, detail, step};
use pep440_rs::{Version, VersionSpecifiers};

use crate::project::Project;

const VERSION: &str = "import sys; print('%d.%d.%d' % sys.version_info[:3])";

/// Returns the version of the image's Python; fails when the app asks for another.
pub(crate) fn check(app: &Path, env: &Env) -> Result<Version, Failure> {
    // Not in the app's directory: version managers would answer what is asked for, not what there is.
    let tool = Tool::new("python3 --version", "python3", env).args(["-c", VERSION]);
    let text = tool.current_dir(Path::new("/")).output()?;
    let ours = Version::from_str(text.trim())
        .map_err(|error| Failure::Refused(format!("The image's Python has an odd version: {error}.")))?;
    step(format!("Python {ours}"));
    for file in [".python-version", "runtime.txt"] {
        if let Some(asked) = asked_in(&app.join(file)) {
            check_release(file, &asked, &ours)?;
        }
    }
    let project = Project::read(app)?.unwrap_or_default();
    if let Some(asked) = project.requires_python() {
        check_specifiers(asked, &ours)?;
    }
    Ok(ours)
}

/// The first line that says something, without the prefix that some tools write.
fn asked_in(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines().map(str::trim);
    let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'))?;
    Some(line.trim_start_matches("cpython-").trim_start_matches("python-").to_owned())
}

/// `3.11` and `3.11.9` are both had from a 3.11: patches are the image's to choose.
fn check_release(file: &str, asked: &str, ours: &Version) -> Result<(), Failure> {
    let wanted = Version::from_str(asked).map_err(|_| unavailable(file, asked, ours))?;
    let minor = |version: &Version| version.release().iter().take(2).copied().collect::<Vec<u64>>();
    if !minor(ours).starts_with(&minor(&wanted)) {
        return Err(unavailable(file, asked, ours));
    }
    if wanted.release().len() > 2 && wanted != *ours {
        detail(format!("{file} asks for {asked}; Debian keeps the patches of its own {ours} up to date."));
    }
    Ok(())
}

fn check_specifiers(asked: &str, ours: &Version) -> Result<(), Failure> {
    const WHERE: &str = "requires-python in pyproject.toml";
    let accepted = VersionSpecifiers::from_str(asked)
        .map_err(|error| Failure::Refused(format!("{WHERE} is not a version specifier: {error}")))?;
    if accepted.contains(ours) { Ok(()) } else { Err(unavailable(WHERE, asked, ours)) }
}

fn unavailable(place: &str, asked: &str, ours: &Version) -> Failure {
    Failure::Refused(format!(
        "{place} asks for Python {asked}, and the Python that can be had is {ours}. Ask for that one, or name \
         another builder or a Dockerfile in paastech.yaml."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Version {
        Version::from_str("3.11.2").unwrap()
    }

    #[test]
    fn any_patch_of_the_same_release_will_do() {
        for asked in ["3", "3.11", "3.11.2", "3.11.9"] {
            assert!(check_release(".python-version", asked, &ours()).is_ok(), "{asked}");
        }
    }

    #[test]
    fn another_release_is_refused_with_the_one_there_is() {
        for asked in ["3.12", "2.7", "3.1", "pypy3.10", "system"] {
            let failure = check_release(".python-version", asked, &ours()).unwrap_err().to_string();
            assert!(failure.contains(asked) && failure.contains("can be had is 3.11.2"), "{failure}");
        }
    }

    #[test]
    fn specifiers_are_read_as_pip_reads_them() {
        for (asked, accepted) in [(">=3.9", true), ("~=3.11", true), (">=3.9,<3.11", false), (">3.11", true)]
        {
            assert_eq!(check_specifiers(asked, &ours()).is_ok(), accepted, "{asked}");
        }
        assert!(
            check_specifiers("^3.11", &ours()).unwrap_err().to_string().contains("not a version specifier")
        );
    }
}
