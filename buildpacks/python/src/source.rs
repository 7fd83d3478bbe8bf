//! Where the app's packages are listed: one file decides, a lock before a list.

use std::path::Path;

use libcnb::Env;
use paastech_buildpack_steps::{Failure, detail, knob};

use crate::project::Project;

const KNOB: &str = "BP_PYTHON_REQUIREMENTS";
const MANIFESTS: [&str; 3] = ["requirements.txt", "setup.py", "Pipfile"];

/// What is installed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A requirements file of the app, by its path there.
    Requirements(String),
    /// A lock file that only its own tool can read.
    Lock(Lock),
    /// The dependencies that `pyproject.toml` lists.
    Listed(Vec<String>),
    /// The app itself, whose build says what it needs.
    Package,
}

/// The tools whose lock files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    Uv,
    Poetry,
}

impl Lock {
    /// The name of the lock file.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Uv => "uv.lock",
            Self::Poetry => "poetry.lock",
        }
    }
}

/// Whether the app is written in Python.
pub(crate) fn exists(app: &Path, env: &Env) -> bool {
    knob(env, KNOB).is_some()
        || MANIFESTS.iter().any(|file| app.join(file).is_file())
        // One that cannot be read is a Python app too: its build says what is wrong with it.
        || Project::read(app).map_or(true, |project| project.is_some_and(|project| project.is_app()))
}

/// Chooses, and says which file is not read when two could be.
pub(crate) fn find(app: &Path, env: &Env, project: &Project) -> Result<Source, Failure> {
    let has = |file: &str| app.join(file).is_file();
    if let Some(file) = knob(env, KNOB) {
        let there = has(&file);
        let absent = || Failure::Refused(format!("{KNOB} is `{file}`, and the app has no such file."));
        return if there { Ok(Source::Requirements(file)) } else { Err(absent()) };
    }
    for lock in [Lock::Uv, Lock::Poetry] {
        if has(lock.file()) && has("pyproject.toml") {
            if has("requirements.txt") {
                detail(format!("{} decides; requirements.txt is not read.", lock.file()));
            }
            return Ok(Source::Lock(lock));
        }
    }
    if has("requirements.txt") {
        return Ok(Source::Requirements("requirements.txt".to_owned()));
    }
    if let Some(dependencies) = project.dependencies() {
        return Ok(Source::Listed(dependencies.into_iter().map(str::to_owned).collect()));
    }
    if project.is_package() || has("setup.py") {
        return Ok(Source::Package);
    }
    Err(Failure::Refused(if has("Pipfile") {
        "A Pipfile is not read. Run `pipenv requirements > requirements.txt` and commit that file.".to_owned()
    } else {
        "pyproject.toml lists dependencies for Poetry alone. Run `poetry lock` and commit poetry.lock."
            .to_owned()
    }))
}
