//! What `pyproject.toml` says about the app.

use std::{fs, io, path::Path};

use paastech_buildpack_steps::Failure;
use toml::{Table, Value};

/// The parts of `pyproject.toml` that a build needs.
#[derive(Debug, Default)]
pub(crate) struct Project(Table);

impl Project {
    /// Reads the file; `None` when there is none.
    pub(crate) fn read(app: &Path) -> Result<Option<Self>, Failure> {
        let path = app.join("pyproject.toml");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::io("read", &path)(error)),
        };
        let table = text.parse().map_err(|error: toml::de::Error| {
            Failure::Refused(format!("pyproject.toml is not valid TOML: {}.", error.message()))
        })?;
        Ok(Some(Self(table)))
    }

    /// Whether it describes something to install, and not only tools' settings.
    pub(crate) fn is_app(&self) -> bool {
        self.get(&["project"]).or_else(|| self.get(&["build-system"])).is_some() || self.uses_poetry()
    }

    /// The Pythons that it accepts.
    pub(crate) fn requires_python(&self) -> Option<&str> {
        self.get(&["project", "requires-python"])?.as_str()
    }

    /// Its dependencies, when they stand in the file and nowhere else.
    pub(crate) fn dependencies(&self) -> Option<Vec<&str>> {
        let project = self.get(&["project"])?;
        let computed = project.get("dynamic").and_then(Value::as_array);
        if computed.is_some_and(|names| names.iter().any(|name| name.as_str() == Some("dependencies"))) {
            return None;
        }
        let Some(dependencies) = project.get("dependencies") else {
            return (!self.uses_poetry()).then(Vec::new);
        };
        dependencies.as_array()?.iter().map(Value::as_str).collect()
    }

    /// Whether the app itself is a package that must be installed to be imported.
    pub(crate) fn is_package(&self) -> bool {
        let refused = |path: &[&str]| self.get(path).and_then(Value::as_bool) == Some(false);
        self.get(&["build-system"]).is_some()
            && !refused(&["tool", "poetry", "package-mode"])
            && !refused(&["tool", "uv", "package"])
    }

    fn uses_poetry(&self) -> bool {
        self.get(&["tool", "poetry", "dependencies"]).is_some()
    }

    fn get(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.0.get(*first)?, |value, name| value.get(*name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(text: &str) -> Project {
        Project(text.parse().unwrap())
    }

    #[test]
    fn settings_of_tools_are_no_app() {
        assert!(!project("[tool.ruff]\nline-length = 100").is_app());
        assert!(project("[project]\nname = 'app'").is_app());
        assert!(project("[tool.poetry.dependencies]\nflask = '^3'").is_app());
    }

    #[test]
    fn dependencies_are_known_only_when_they_stand_in_the_file() {
        let listed = project("[project]\nname = 'app'\ndependencies = ['flask>=3']");
        assert_eq!(listed.dependencies(), Some(vec!["flask>=3"]));
        assert_eq!(project("[project]\nname = 'app'").dependencies(), Some(vec![]));
        assert_eq!(project("[project]\ndynamic = ['dependencies']").dependencies(), None);
        assert_eq!(project("[tool.poetry.dependencies]\nflask = '^3'").dependencies(), None);
    }

    #[test]
    fn an_app_that_says_so_is_no_package() {
        let build = "[build-system]\nrequires = ['hatchling']\n";
        assert!(project(build).is_package());
        assert!(!project(&format!("{build}[tool.poetry]\npackage-mode = false")).is_package());
        assert!(!project("[project]\nname = 'app'").is_package());
    }
}
