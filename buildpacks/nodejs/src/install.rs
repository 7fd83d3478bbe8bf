//! The packages, the build script, and what of the packages stays.
//!
//! They are installed anew each time, from the manager's cached downloads: their install scripts may depend on any
//! file of the app, and a directory of packages that is a link elsewhere misleads tools that follow it.

use std::{fs, path::Path};

use libcnb::{Env, build::BuildContext, data::layer_name};
use paastech_buildpack_steps::{Failure, KeptFor, Key, Tool, detail, flag, keyed_layer, knob, step};

use crate::{
    NodeBuildpack, has_other_language,
    manager::{Kind, Manager},
    package::Package,
};

/// Where node-gyp looks for Node's headers. npm warns of it, so only the call that may compile gets it.
pub(crate) const HEADERS: &str = "npm_config_nodedir";

/// What the app wants of its packages.
pub(crate) struct Wishes {
    /// The script that builds it.
    build: Option<String>,
    /// Development's packages stay in the image.
    keep_development: bool,
    /// No package stays: what is served is the build's output.
    keep_nothing: bool,
}

impl Wishes {
    pub(crate) fn of(app: &Path, package: &Package, launched: bool, env: &Env) -> Self {
        let script = knob(env, "BP_NODE_BUILD_SCRIPT").unwrap_or_else(|| "build".to_owned());
        let build = package.script(&script).map(|_| script);
        let keep_nothing = !launched && build.is_some() && !has_other_language(app);
        Self { build, keep_development: flag(env, "BP_NODE_KEEP_DEV"), keep_nothing }
    }
}

/// Installs, builds and prunes.
pub(crate) fn install(
    context: &BuildContext<NodeBuildpack>,
    package: &Package,
    manager: &Manager,
    wishes: &Wishes,
    env: &Env,
) -> libcnb::Result<(), Failure> {
    let program = manager.program();
    let key = Key::new(&context.target).with("manager", format!("{:?}", manager.kind)).finish();
    let cache = keyed_layer(context, layer_name!("downloads"), KeptFor::Cache, key)?;
    if cache.restored {
        step(format!("Using cached downloads of {program}"));
    }
    let calls = Calls { manager, cache: &cache.path(), app: &context.app_dir, env };
    let with_development = wishes.build.is_some() || wishes.keep_development;
    step(format!("Installing packages with {program}"));
    if !manager.locked {
        detail("There is no lock file: the versions are whatever is newest today. Commit one.");
    }
    calls.install(with_development).run()?;
    cache.complete()?;
    if let Some(script) = &wishes.build {
        step(format!("Building: {program} run {script}"));
        detail(format!("> {}", package.script(script).unwrap_or_default()));
        calls.build(script).run()?;
    }
    let packages = context.app_dir.join("node_modules");
    if wishes.keep_nothing {
        if packages.is_dir() {
            step("Removing the packages: nothing runs Node after the build");
            fs::remove_dir_all(&packages).map_err(Failure::io("remove", &packages))?;
        }
    } else if with_development && !wishes.keep_development {
        step("Removing the packages of development");
        calls.prune().run()?;
    }
    Ok(())
}

/// The manager's calls.
struct Calls<'a> {
    manager: &'a Manager,
    cache: &'a Path,
    app: &'a Path,
    env: &'a Env,
}

impl Calls<'_> {
    fn install(&self, with_development: bool) -> Tool {
        let locked = self.manager.locked;
        let pick = |yes: &'static str, no: &'static str, which: bool| if which { yes } else { no };
        let dev = |yes, no| pick(yes, no, with_development);
        let args: Vec<&str> = match self.manager.kind {
            Kind::Npm => {
                let install = pick("ci", "install", locked);
                vec![
                    install,
                    "--prefer-offline",
                    "--no-audit",
                    "--no-fund",
                    dev("--include=dev", "--omit=dev"),
                ]
            }
            Kind::YarnClassic => {
                let frozen = pick("--frozen-lockfile", "--no-lockfile", locked);
                let production = dev("--production=false", "--production=true");
                vec!["install", "--non-interactive", "--no-progress", "--prefer-offline", frozen, production]
            }
            // It installs all first: only then can it leave some out.
            Kind::YarnModern => vec!["install", pick("--immutable", "--no-immutable", locked)],
            Kind::Pnpm | Kind::Pnpm8 => {
                let frozen = pick("--frozen-lockfile", "--no-frozen-lockfile", locked);
                vec![
                    "install",
                    "--prefer-offline",
                    "--reporter=append-only",
                    frozen,
                    dev("--prod=false", "--prod"),
                ]
            }
        };
        let name = format!("{} {}", self.manager.program(), args[0]);
        // A production environment would leave out what the build needs.
        self.call(&name, &args)
            .without_env("NODE_ENV")
            .env(HEADERS, self.env.get(HEADERS).cloned().unwrap_or_default())
            .advice("Its output above says why. If the lock file is out of date, install on your machine and commit it.")
    }

    fn build(&self, script: &str) -> Tool {
        let name = format!("{} run {script}", self.manager.program());
        let tool = self.call(&name, &["run", script]);
        let tool = if self.env.contains_key("NODE_ENV") { tool } else { tool.env("NODE_ENV", "production") };
        tool.advice("Its output above says why.")
    }

    fn prune(&self) -> Tool {
        let args: &[&str] = match self.manager.kind {
            Kind::Npm => &["prune", "--omit=dev", "--no-audit", "--no-fund"],
            Kind::YarnClassic => {
                &["install", "--production", "--ignore-scripts", "--offline", "--frozen-lockfile"]
            }
            Kind::YarnModern => &["workspaces", "focus", "--all", "--production"],
            Kind::Pnpm | Kind::Pnpm8 => &["prune", "--prod"],
        };
        self.call(&format!("{} {}", self.manager.program(), args[0]), args)
            .advice("Set BP_NODE_KEEP_DEV=1 to keep the packages of development.")
    }

    fn call(&self, name: &str, args: &[&str]) -> Tool {
        Tool::new(name, self.manager.program(), self.env)
            .args(args)
            .env("CI", "true")
            .without_env(HEADERS)
            .env("NO_UPDATE_NOTIFIER", "1")
            .env("npm_config_update_notifier", "false")
            .env("npm_config_cache", self.cache.join("npm"))
            .env("npm_config_store_dir", self.cache.join("pnpm"))
            .env("YARN_CACHE_FOLDER", self.cache.join("yarn"))
            .env("YARN_GLOBAL_FOLDER", self.cache.join("yarn-global"))
            .env("YARN_NODE_LINKER", "node-modules")
            .env("YARN_ENABLE_TELEMETRY", "0")
            .current_dir(self.app)
    }
}
