//! npm, yarn or pnpm: whichever wrote the lock file.

use std::{fs, path::Path};

use libcnb::{Env, build::BuildContext, data::layer_name};
use paastech_buildpack_steps::{Failure, KeptFor, Key, Tool, keyed_layer, step};

use crate::{NodeBuildpack, install::HEADERS, package::Package, with_path};

/// A package manager and the version that the app asks for, if it asks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Manager {
    pub(crate) kind: Kind,
    pub(crate) locked: bool,
    asked: Option<String>,
}

/// Yarn is two programs that share a name and little more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Npm,
    YarnClassic,
    YarnModern,
    Pnpm,
    /// The last that reads lock files of version 6.
    Pnpm8,
}

const LOCKS: [(&str, &str); 4] = [
    ("package-lock.json", "npm"),
    ("npm-shrinkwrap.json", "npm"),
    ("yarn.lock", "yarn"),
    ("pnpm-lock.yaml", "pnpm"),
];

impl Manager {
    /// By the lock file, else by `packageManager`, else npm.
    pub(crate) fn find(app: &Path, package: &Package) -> Result<Self, Failure> {
        let locks: Vec<(&str, &str)> =
            LOCKS.into_iter().filter(|(file, _)| app.join(file).is_file()).collect();
        let name = match locks.as_slice() {
            [] => package.manager().map_or("npm", |(name, _)| name),
            [(_, name)] => name,
            several => {
                let files: Vec<&str> = several.iter().map(|(file, _)| *file).collect();
                return Err(Failure::Refused(format!(
                    "The app has several lock files ({}), and they may differ. Keep that of the package manager \
                     you use and delete the others.",
                    files.join(", ")
                )));
            }
        };
        let asked = package.manager().filter(|(asked, _)| *asked == name).map(|(_, version)| version);
        let kind = kind(app, name, asked)?;
        Ok(Self { kind, locked: !locks.is_empty(), asked: asked.map(str::to_owned) })
    }

    /// The program's name.
    pub(crate) fn program(&self) -> &'static str {
        match self.kind {
            Kind::Npm => "npm",
            Kind::YarnClassic | Kind::YarnModern => "yarn",
            Kind::Pnpm | Kind::Pnpm8 => "pnpm",
        }
    }

    /// Its package, and its name among the pinned versions.
    fn package(&self) -> Option<(&'static str, &'static str)> {
        match self.kind {
            Kind::Npm => None,
            Kind::YarnClassic => Some(("yarn", "yarn-classic")),
            Kind::YarnModern => Some(("@yarnpkg/cli-dist", "yarn")),
            Kind::Pnpm => Some(("pnpm", "pnpm")),
            Kind::Pnpm8 => Some(("pnpm", "pnpm-8")),
        }
    }
}

fn kind(app: &Path, name: &str, asked: Option<&str>) -> Result<Kind, Failure> {
    let lock = |file: &str| fs::read_to_string(app.join(file)).unwrap_or_default();
    match name {
        "npm" => Ok(Kind::Npm),
        "yarn" => {
            let modern = match asked {
                Some(version) => !version.starts_with("1."),
                None => lock("yarn.lock").contains("\n__metadata:"),
            };
            Ok(if modern { Kind::YarnModern } else { Kind::YarnClassic })
        }
        "pnpm" => {
            let old = lock("pnpm-lock.yaml").lines().next().is_some_and(|line| line.contains("'6."));
            Ok(if old && asked.is_none() { Kind::Pnpm8 } else { Kind::Pnpm })
        }
        other => Err(Failure::Refused(format!(
            "packageManager in package.json is {other}; npm, yarn and pnpm can be had."
        ))),
    }
}

/// Makes or takes up the layer `manager`; returns the environment in which the manager is found.
pub(crate) fn provide(
    context: &BuildContext<NodeBuildpack>,
    manager: &Manager,
    env: &Env,
) -> libcnb::Result<Env, Failure> {
    let Some((package, pinned)) = manager.package() else { return Ok(env.clone()) };
    let pinned = context.buildpack_descriptor.metadata.managers.get(pinned);
    let version = manager.asked.as_ref().or(pinned);
    let version = version.ok_or_else(|| Failure::Refused(format!("No version of {package} is pinned.")))?;
    let wanted = format!("{package}@{version}");
    let key = Key::new(&context.target).with("package", &wanted).finish();
    let layer = keyed_layer(context, layer_name!("manager"), KeptFor::Cache, key)?;
    if layer.restored {
        step(format!("Using cached {wanted}"));
    } else {
        step(format!("Fetching {wanted}"));
        Tool::new(&format!("npm install {wanted}"), "npm", env)
            .args(["install", "--global", "--no-audit", "--no-fund", "--prefix"])
            .arg(layer.path())
            .arg(&wanted)
            .without_env(HEADERS)
            .env("npm_config_update_notifier", "false")
            .advice("Does packageManager in package.json name a version that exists?")
            .run()?;
        layer.complete()?;
    }
    Ok(with_path(env, &layer.join("bin")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)], package: &str) -> Result<(Kind, bool), String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let manager = Manager::find(dir.path(), &serde_json::from_str(package).unwrap());
        manager.map(|manager| (manager.kind, manager.locked)).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_lock_file_chooses_the_manager() {
        for (file, text, expected) in [
            ("package-lock.json", "{}", Kind::Npm),
            ("yarn.lock", "# yarn lockfile v1\n", Kind::YarnClassic),
            ("yarn.lock", "# generated\n\n__metadata:\n  version: 8\n", Kind::YarnModern),
            ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n", Kind::Pnpm),
            ("pnpm-lock.yaml", "lockfileVersion: '6.0'\n", Kind::Pnpm8),
        ] {
            assert_eq!(found(&[(file, text)], "{}"), Ok((expected, true)), "{file}");
        }
        assert_eq!(found(&[], "{}"), Ok((Kind::Npm, false)));
        assert_eq!(found(&[], r#"{ "packageManager": "pnpm@10.1.0+sha512.00" }"#), Ok((Kind::Pnpm, false)));
    }

    #[test]
    fn several_lock_files_are_refused_by_name() {
        let error = found(&[("yarn.lock", ""), ("package-lock.json", "")], "{}").unwrap_err();
        assert!(error.contains("(package-lock.json, yarn.lock)"), "{error}");
        let error = found(&[], r#"{ "packageManager": "bun@1.0.0" }"#).unwrap_err();
        assert!(error.contains("npm, yarn and pnpm can be had"), "{error}");
    }
}
