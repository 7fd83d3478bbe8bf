//! The virtual environment: made anew when what it follows from has changed, taken up again otherwise.

use std::{
    fs,
    path::{Path, PathBuf},
};

use libcnb::{
    Env,
    build::BuildContext,
    data::layer_name,
    layer_env::{LayerEnv, ModificationBehavior, Scope},
};
use paastech_buildpack_steps::{Failure, KeptFor, Key, Tool, keyed_layer, step};
use pep440_rs::Version;

use crate::{
    PythonBuildpack,
    export::Exporter,
    project::Project,
    requirements::Requirements,
    source::{self, Source},
    web::Servers,
};

/// The app's Python with its packages.
pub(crate) struct Venv(PathBuf);

impl Venv {
    /// A program of the environment.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.0.join("bin").join(name)
    }

    /// Which servers the app installed.
    pub(crate) fn servers(&self) -> Servers {
        let has = |name: &str| self.program(name).is_file();
        Servers { gunicorn: has("gunicorn"), uvicorn: has("uvicorn") }
    }
}

/// What goes into the environment.
struct Plan {
    source: Source,
    /// Installed by `pip install -r`, with what it includes.
    requirements: Option<Requirements>,
    /// The app is installed itself.
    package: bool,
    /// pip must look again even though nothing that we know of has changed.
    look_again: bool,
}

/// Makes or takes up the layer `venv`.
pub(crate) fn venv(
    context: &BuildContext<PythonBuildpack>,
    python: &Version,
    env: &Env,
) -> libcnb::Result<Venv, Failure> {
    let plan = plan(&context.app_dir, env)?;
    let key = key(context, python, &plan)?;
    let layer = keyed_layer(context, layer_name!("venv"), KeptFor::BuildAndLaunch, key)?;
    let venv = Venv(layer.path());
    // Declared in every build: the lifecycle drops what a build does not mention.
    let cache = pip_cache(context, python)?;
    let exporter = Exporter::declare(context, &plan.source, &python.to_string())?;
    if layer.restored && !plan.look_again {
        step("Using cached packages: what they follow from has not changed");
    } else {
        let pip = Pip { cache, venv: &venv, app: &context.app_dir, env };
        if layer.restored {
            step("Using the cached virtual environment; pip looks whether it still fits");
        } else {
            if layer.outdated {
                step("The packages are listed anew: the cached virtual environment is not used");
            }
            // pip is the image's own, which works on the environment from outside.
            Tool::new("python3 -m venv", "python3", env)
                .args(["-m", "venv", "--without-pip"])
                .arg(layer.path())
                .run()?;
        }
        install(context, &plan, exporter.as_ref(), &pip)?;
        compile(&venv, env);
    }
    layer.write_env(&variables(&layer.path()))?;
    layer.complete()?;
    Ok(venv)
}

fn plan(app: &Path, env: &Env) -> Result<Plan, Failure> {
    let project = Project::read(app)?.unwrap_or_default();
    let source = source::find(app, env, &project)?;
    let requirements = match &source {
        Source::Requirements(file) => Some(Requirements::read(&app.join(file))?),
        _ => None,
    };
    // A requirements file lists what it wants installed, the app itself included.
    let package = match source {
        Source::Requirements(_) => false,
        Source::Package => true,
        _ => project.is_package(),
    };
    let local = requirements.as_ref().is_some_and(|requirements| requirements.local);
    let look_again = local || source == Source::Package;
    Ok(Plan { source, requirements, package, look_again })
}

fn key(context: &BuildContext<PythonBuildpack>, python: &Version, plan: &Plan) -> Result<String, Failure> {
    let mut key = Key::new(&context.target).with("python", python.to_string());
    for (path, text) in plan.requirements.iter().flat_map(|requirements| &requirements.files) {
        key = key.with(&path.to_string_lossy(), text);
    }
    if plan.requirements.is_none() {
        for file in ["pyproject.toml", "uv.lock", "poetry.lock", "setup.py", "setup.cfg"] {
            key = key.with_file(&context.app_dir.join(file))?;
        }
    }
    Ok(key.finish())
}

fn pip_cache(context: &BuildContext<PythonBuildpack>, python: &Version) -> libcnb::Result<PipCache, Failure> {
    let key = Key::new(&context.target).with("python", python.to_string()).finish();
    let layer = keyed_layer(context, layer_name!("pip-cache"), KeptFor::Cache, key)?;
    layer.complete()?;
    let path = layer.path();
    // pip keeps only what the index allows by its headers, which may be nothing.
    let filled = fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some());
    Ok(PipCache { path, filled })
}

fn install(
    context: &BuildContext<PythonBuildpack>,
    plan: &Plan,
    exporter: Option<&Exporter>,
    pip: &Pip<'_>,
) -> libcnb::Result<(), Failure> {
    if pip.cache.filled {
        step("Using cached downloads of pip");
    }
    let list = tempfile::NamedTempFile::new()
        .map_err(|source| Failure::Io { action: "make a temporary file".to_owned(), source })?;
    match (&plan.source, exporter) {
        (Source::Requirements(file), _) => pip.install_list(file, &context.app_dir.join(file))?,
        (Source::Listed(dependencies), _) => {
            fs::write(list.path(), dependencies.join("\n")).map_err(Failure::io("write", list.path()))?;
            pip.install_list("pyproject.toml", list.path())?;
        }
        (Source::Lock(lock), Some(exporter)) => {
            exporter.export(context, list.path(), pip.env)?;
            pip.install_list(lock.file(), list.path())?;
        }
        (Source::Lock(_) | Source::Package, _) => return Ok(pip.install_app(true)?),
    }
    if plan.package {
        pip.install_app(false)?;
    }
    Ok(())
}

struct PipCache {
    path: PathBuf,
    filled: bool,
}

/// pip, at work on the environment.
struct Pip<'a> {
    venv: &'a Venv,
    cache: PipCache,
    app: &'a Path,
    env: &'a Env,
}

impl Pip<'_> {
    fn install_list(&self, name: &str, list: &Path) -> Result<(), Failure> {
        step(format!("Installing the packages of {name}"));
        let advice = format!("Its output above names the package. Correct {name} and push again.");
        self.tool("pip install").arg("--requirement").arg(list).advice(&advice).run()
    }

    /// Editable, so that the running app is what lies in its directory.
    fn install_app(&self, with_dependencies: bool) -> Result<(), Failure> {
        step("Installing the app as a package");
        let mut tool = self.tool("pip install of the app").args(["--editable", "."]);
        if !with_dependencies {
            tool = tool.arg("--no-deps");
        }
        tool.advice("Its output above says why. `pip install .` on your machine should fail likewise.").run()
    }

    fn tool(&self, name: &str) -> Tool {
        Tool::new(name, "python3", self.env)
            .args(["-m", "pip", "--python"])
            .arg(self.venv.program("python"))
            .args(["install", "--disable-pip-version-check", "--no-input"])
            .args(["--progress-bar=off", "--no-compile", "--root-user-action=ignore"])
            .env("PIP_CACHE_DIR", &self.cache.path)
            .without_env("PIP_NO_CACHE_DIR")
            .current_dir(self.app)
    }
}

/// An image's files are all dated 1980, so bytecode that checks its source's date would be made again at each start.
fn compile(venv: &Venv, env: &Env) {
    let compiled = Tool::new("compileall", venv.program("python"), env)
        .args(["-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash"])
        .arg(venv.0.join("lib"))
        .output();
    // Packages carry files for other Pythons on purpose; what does not compile here is not imported either.
    drop(compiled);
}

fn variables(venv: &Path) -> LayerEnv {
    let mut env = LayerEnv::new();
    env.insert(Scope::All, ModificationBehavior::Override, "VIRTUAL_ENV", venv);
    for (name, value) in [
        ("PYTHONUNBUFFERED", "1"),
        // Only the platform's proxy reaches the app, so what it says of the client holds.
        ("FORWARDED_ALLOW_IPS", "*"),
        // gunicorn's heartbeat files would stall its workers on a slow disk.
        ("GUNICORN_CMD_ARGS", "--access-logfile=- --worker-tmp-dir=/dev/shm"),
    ] {
        env.insert(Scope::Launch, ModificationBehavior::Default, name, value);
    }
    env
}
