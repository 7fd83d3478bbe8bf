//! The binaries of the app, and the process that each becomes.

use std::path::Path;

use libcnb::{Env, data::launch::ProcessType};
use paastech_buildpack_steps::{Failure, Tool, knob};
use serde::Deserialize;

/// A binary target.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// The package that it belongs to.
    pub(crate) package: String,
    pub(crate) name: String,
    /// The process that runs it.
    pub(crate) process: ProcessType,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_default_members: Vec<String>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    #[serde(default, rename = "required-features")]
    required_features: Vec<String>,
}

/// The binaries of the workspace's default members, or those that `BP_RUST_BINARIES` names.
pub(crate) fn find(app: &Path, env: &Env) -> Result<Vec<Program>, Failure> {
    let text = Tool::new("cargo metadata", "cargo", env)
        .args(["metadata", "--format-version=1", "--no-deps"])
        .current_dir(app)
        .advice("Its output above says what is wrong with Cargo.toml.")
        .output()?;
    let metadata: Metadata = serde_json::from_str(&text)
        .map_err(|error| Failure::Refused(format!("cargo metadata answered oddly: {error}.")))?;
    let wanted: Option<Vec<String>> = knob(env, "BP_RUST_BINARIES")
        .map(|names| names.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect());
    processes(&metadata, wanted.as_deref())
}

/// The only binary is `web`; of several, the one that is called so, else the one that is called like its package.
fn processes(metadata: &Metadata, wanted: Option<&[String]>) -> Result<Vec<Program>, Failure> {
    let mut binaries: Vec<(&str, &str)> = Vec::new();
    for package in &metadata.packages {
        if !metadata.workspace_default_members.contains(&package.id) {
            continue;
        }
        let names = package
            .targets
            .iter()
            .filter(|target| {
                target.kind.iter().any(|kind| kind == "bin") && target.required_features.is_empty()
            })
            .map(|target| target.name.as_str())
            .filter(|name| wanted.is_none_or(|wanted| wanted.iter().any(|wanted| wanted == name)));
        binaries.extend(names.map(|name| (package.name.as_str(), name)));
    }
    if binaries.is_empty() {
        let what = wanted.map_or("no binary".to_owned(), |wanted| format!("no binary {}", wanted.join(", ")));
        return Err(Failure::Refused(format!(
            "The package has {what}, so there is nothing to run. Add src/main.rs, or name binaries in \
             BP_RUST_BINARIES."
        )));
    }
    let only = binaries.len() == 1;
    let named = binaries.iter().any(|(_, name)| *name == "web");
    let mut like_package = binaries.iter().filter(|(package, name)| package == name);
    let main = like_package.next().filter(|_| like_package.next().is_none()).copied();
    binaries
        .iter()
        .map(|&(package, name)| {
            let process = if only || (!named && main == Some((package, name))) { "web" } else { name };
            let process = process.parse().map_err(|_| {
                Failure::Refused(format!("`{name}` cannot be the name of a process. Rename the binary."))
            })?;
            Ok(Program { package: package.to_owned(), name: name.to_owned(), process })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(binaries: &[(&str, &str)], wanted: Option<&[&str]>) -> Result<Vec<String>, String> {
        let package = |&(package, name): &(&str, &str)| Package {
            id: package.to_owned(),
            name: package.to_owned(),
            targets: vec![Target {
                name: name.to_owned(),
                kind: vec!["bin".to_owned()],
                required_features: Vec::new(),
            }],
        };
        let metadata = Metadata {
            packages: binaries.iter().map(package).collect(),
            workspace_default_members: binaries.iter().map(|(package, _)| (*package).to_owned()).collect(),
        };
        let wanted: Option<Vec<String>> =
            wanted.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        let programs = processes(&metadata, wanted.as_deref()).map_err(|failure| failure.to_string())?;
        Ok(programs.iter().map(|program| program.process.to_string()).collect())
    }

    #[test]
    fn the_only_binary_is_web_and_so_is_the_one_called_like_its_package() {
        assert_eq!(named(&[("shop", "server")], None).unwrap(), ["web"]);
        assert_eq!(named(&[("shop", "shop"), ("tools", "migrate")], None).unwrap(), ["web", "migrate"]);
        assert_eq!(named(&[("shop", "shop"), ("site", "web")], None).unwrap(), ["shop", "web"]);
        assert_eq!(named(&[("a", "a"), ("b", "b")], None).unwrap(), ["a", "b"]);
    }

    #[test]
    fn binaries_can_be_named() {
        assert_eq!(named(&[("a", "a"), ("b", "b")], Some(&["b"])).unwrap(), ["web"]);
        assert!(named(&[("a", "a")], Some(&["c"])).unwrap_err().contains("no binary c"));
        assert!(named(&[], None).unwrap_err().contains("nothing to run"));
    }
}
