//! Lock files of uv and Poetry: their own tool writes them out as requirements with hashes, and pip installs those.

use std::path::Path;

use libcnb::{Env, build::BuildContext, data::layer_name};
use paastech_buildpack_steps::{Failure, KeptFor, Key, KeyedLayer, Tool, Wheel, keyed_layer, step};

use crate::{
    PythonBuildpack,
    source::{Lock, Source},
};

const ADVICE: &str = "If the lock file is out of date, lock again and commit it.";

/// The tool that reads the app's lock file, in a layer of its own.
pub(crate) struct Exporter {
    lock: Lock,
    layer: KeyedLayer<PythonBuildpack>,
}

impl Exporter {
    /// The layer as the last build left it; nothing is fetched yet.
    pub(crate) fn declare(
        context: &BuildContext<PythonBuildpack>,
        source: &Source,
        python: &str,
    ) -> libcnb::Result<Option<Self>, Failure> {
        let key = Key::new(&context.target).with("python", python);
        let layer = match source {
            Source::Lock(Lock::Uv) => {
                let key = key.with("sha256", &uv(context)?.sha256).finish();
                keyed_layer(context, layer_name!("uv"), KeptFor::Cache, key)?
            }
            Source::Lock(Lock::Poetry) => {
                let packages = &context.buildpack_descriptor.metadata.poetry;
                let key = key.with("packages", packages.join(" ")).finish();
                keyed_layer(context, layer_name!("poetry"), KeptFor::Cache, key)?
            }
            Source::Requirements(_) | Source::Listed(_) | Source::Package => return Ok(None),
        };
        let Source::Lock(lock) = *source else { return Ok(None) };
        Ok(Some(Self { lock, layer }))
    }

    /// Writes what is locked to `file`, as requirements.
    pub(crate) fn export(
        &self,
        context: &BuildContext<PythonBuildpack>,
        file: &Path,
        env: &Env,
    ) -> libcnb::Result<(), Failure> {
        match self.lock {
            Lock::Uv => self.fetch_uv(context, env)?,
            Lock::Poetry => self.fetch_poetry(context, env)?,
        }
        let tool = match self.lock {
            Lock::Uv => self.uv_export(file, env),
            Lock::Poetry => self.poetry_export(file, env),
        };
        tool.current_dir(&context.app_dir).advice(ADVICE).run()?;
        Ok(())
    }

    fn fetch_uv(&self, context: &BuildContext<PythonBuildpack>, env: &Env) -> libcnb::Result<(), Failure> {
        let wheel = uv(context)?;
        if self.layer.restored {
            step(format!("Using cached uv {}", wheel.version));
            return Ok(());
        }
        step(format!("Fetching uv {}", wheel.version));
        context.buildpack_descriptor.metadata.uv.install(wheel, &self.layer.path(), env)?;
        self.layer.complete()
    }

    fn uv_export(&self, file: &Path, env: &Env) -> Tool {
        Tool::new("uv export", self.layer.join("bin/uv"), env)
            .args(["export", "--quiet", "--locked", "--no-dev", "--no-emit-project", "--no-cache"])
            .args(["--format", "requirements-txt", "--output-file"])
            .arg(file)
            .env("UV_PYTHON", "python3")
            .env("UV_PYTHON_DOWNLOADS", "never")
    }

    fn fetch_poetry(
        &self,
        context: &BuildContext<PythonBuildpack>,
        env: &Env,
    ) -> libcnb::Result<(), Failure> {
        let packages = &context.buildpack_descriptor.metadata.poetry;
        if self.layer.restored {
            step(format!("Using cached {}", packages.join(", ")));
            return Ok(());
        }
        step(format!("Fetching {}", packages.join(", ")));
        Tool::new("the download of Poetry", "python3", env)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"])
            .args(["--no-cache-dir", "--root-user-action=ignore", "--target"])
            .arg(self.layer.path())
            .args(packages)
            .advice("The package index of this installation must be reachable: ask its operator.")
            .run()?;
        self.layer.complete()
    }

    fn poetry_export(&self, file: &Path, env: &Env) -> Tool {
        Tool::new("poetry export", "python3", env)
            .args(["-m", "poetry", "export", "--quiet", "--no-interaction", "--only", "main"])
            .args(["--format", "requirements.txt", "--output"])
            .arg(file)
            .env("PYTHONPATH", self.layer.path())
    }
}

fn uv(context: &BuildContext<PythonBuildpack>) -> Result<&Wheel, Failure> {
    let available = context.buildpack_descriptor.metadata.uv.available(&context.target);
    available.into_iter().next().ok_or_else(|| {
        let arch = &context.target.arch;
        Failure::Refused(format!(
            "There is no uv for {arch}. Run `uv export -o requirements.txt` and commit it."
        ))
    })
}
