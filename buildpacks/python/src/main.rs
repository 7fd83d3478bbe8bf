//! The buildpack `paastech/python`: a virtual environment with the app's packages, and a server for its web framework.

mod django;
mod export;
mod install;
mod interpreter;
mod project;
mod requirements;
mod source;
mod web;

use libcnb::{
    Buildpack, Env,
    build::{BuildContext, BuildResult, BuildResultBuilder},
    buildpack_main,
    data::{
        launch::{LaunchBuilder, ProcessBuilder},
        process_type,
    },
    detect::{DetectContext, DetectResult, DetectResultBuilder},
    generic::GenericPlatform,
};
use paastech_buildpack_steps::{Failure, Toolchain, detail, environment, flag, knob, report, step};
use serde::Deserialize;

use crate::{install::Venv, web::Web};

struct PythonBuildpack;

/// What `buildpack.toml` pins: the tools that read lock files.
#[derive(Deserialize)]
struct Metadata {
    uv: Toolchain,
    poetry: Vec<String>,
}

impl Buildpack for PythonBuildpack {
    type Platform = GenericPlatform;
    type Metadata = Metadata;
    type Error = Failure;

    fn detect(&self, context: DetectContext<Self>) -> libcnb::Result<DetectResult, Failure> {
        if source::exists(&context.app_dir, &environment(&context.platform)) {
            DetectResultBuilder::pass().build()
        } else {
            DetectResultBuilder::fail().build()
        }
    }

    fn build(&self, context: BuildContext<Self>) -> libcnb::Result<BuildResult, Failure> {
        let env = environment(&context.platform);
        let python = interpreter::check(&context.app_dir, &env)?;
        let venv = install::venv(&context, &python, &env)?;
        if flag(&env, "BP_COLLECTSTATIC") {
            django::collect_static(&context.app_dir, &venv, &env)?;
        }
        let mut launch = LaunchBuilder::new();
        if let Some(argv) = web_process(&context, &venv, &env)? {
            launch.process(ProcessBuilder::new(process_type!("web"), argv).default(true).build());
        }
        BuildResultBuilder::new().launch(launch.build()).build()
    }

    fn on_error(&self, error: libcnb::Error<Failure>) {
        report(&error);
    }
}

fn web_process(
    context: &BuildContext<PythonBuildpack>,
    venv: &Venv,
    env: &Env,
) -> Result<Option<Vec<String>>, Failure> {
    let named = knob(env, "BP_PYTHON_APP");
    match web::find(&context.app_dir, &venv.servers(), named.as_deref())? {
        Web::Process { argv, advice } => {
            step(format!("Process web: {}", argv.join(" ")));
            advice.into_iter().for_each(detail);
            Ok(Some(argv))
        }
        Web::Absent(advice) => {
            step("No process web");
            detail(advice);
            Ok(None)
        }
    }
}

buildpack_main!(PythonBuildpack);
