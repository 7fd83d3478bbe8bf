//! The main packages of the module, and the process that each becomes.

use std::{collections::BTreeSet, path::Path};

use libcnb::{Env, data::launch::ProcessType};
use paastech_buildpack_steps::{Failure, Tool, knob};
use serde::Deserialize;

/// A main package.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// Its import path.
    pub(crate) package: String,
    /// What its binary is called.
    pub(crate) name: String,
    /// The process that runs it.
    pub(crate) process: ProcessType,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    import_path: String,
    name: String,
    target: String,
    module: Option<Module>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Module {
    path: String,
}

/// A main package as it is listed.
struct Main {
    package: String,
    name: String,
    /// It is the module's own, not one in a directory below.
    root: bool,
}

/// All main packages, or those that `BP_GO_TARGETS` names.
pub(crate) fn find(app: &Path, env: &Env) -> Result<Vec<Program>, Failure> {
    let targets = knob(env, "BP_GO_TARGETS").unwrap_or_else(|| "./...".to_owned());
    let text = Tool::new("go list", "go", env)
        .args(["list", "-json=ImportPath,Name,Target,Module"])
        .args(targets.split([',', ' ']).filter(|target| !target.is_empty()))
        .current_dir(app)
        .advice("Its output above says why. Does `go list ./...` work on your machine?")
        .output()?;
    let mut packages = Vec::new();
    for listed in serde_json::Deserializer::from_str(&text).into_iter::<Listed>() {
        let listed = listed.map_err(|error| Failure::Refused(format!("go list answered oddly: {error}.")))?;
        if listed.name == "main" {
            let name = Path::new(&listed.target).file_name().map(|name| name.to_string_lossy().into_owned());
            let root = listed.module.is_some_and(|module| module.path == listed.import_path);
            packages.push(Main { package: listed.import_path, name: name.unwrap_or_default(), root });
        }
    }
    processes(packages)
}

/// The only one is `web`; of several, the one that is called so, else the module's own.
fn processes(packages: Vec<Main>) -> Result<Vec<Program>, Failure> {
    if packages.is_empty() {
        return Err(Failure::Refused(
            "The module has no main package, so there is nothing to run. Name one in BP_GO_TARGETS if it is \
             excluded by a build tag or lies in another module."
                .to_owned(),
        ));
    }
    let names: BTreeSet<&str> = packages.iter().map(|main| main.name.as_str()).collect();
    if names.len() < packages.len() {
        return Err(Failure::Refused(
            "Two main packages have the same name. Name those to build in BP_GO_TARGETS.".to_owned(),
        ));
    }
    let (only, named) = (packages.len() == 1, names.contains("web"));
    let mut programs = Vec::new();
    for Main { package, name, root } in packages {
        let process = if only || (root && !named) { "web" } else { &name };
        let process = process.parse().map_err(|_| {
            Failure::Refused(format!("`{name}` cannot be the name of a process. Rename its directory."))
        })?;
        programs.push(Program { package, name, process });
    }
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Result<Vec<String>, String> {
        let main =
            |name: &&str| Main { package: format!("x/{name}"), name: (*name).to_owned(), root: *name == "x" };
        let programs = processes(names.iter().map(main).collect()).map_err(|failure| failure.to_string())?;
        Ok(programs.iter().map(|program| program.process.to_string()).collect())
    }

    #[test]
    fn the_only_program_is_web_and_several_keep_their_names() {
        assert_eq!(named(&["server"]).unwrap(), ["web"]);
        assert_eq!(named(&["web", "x"]).unwrap(), ["web", "x"]);
        assert_eq!(named(&["x", "worker"]).unwrap(), ["web", "worker"]);
        assert_eq!(named(&["server", "worker"]).unwrap(), ["server", "worker"]);
        assert!(named(&[]).unwrap_err().contains("no main package"));
        assert!(named(&["a", "a"]).unwrap_err().contains("same name"));
    }
}
