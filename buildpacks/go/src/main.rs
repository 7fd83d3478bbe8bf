//! The buildpack `paastech/go`: compiles the programs of a Go module with the Go that it asks for.

mod compile;
mod programs;
mod toolchain;
mod version;

use libcnb::{
    Buildpack,
    build::{BuildContext, BuildResult, BuildResultBuilder},
    buildpack_main,
    data::launch::{LaunchBuilder, ProcessBuilder},
    detect::{DetectContext, DetectResult, DetectResultBuilder},
    generic::GenericPlatform,
};
use paastech_buildpack_steps::{Failure, Toolchain, detail, environment, report, step};
use serde::Deserialize;

struct GoBuildpack;

/// What `buildpack.toml` pins.
#[derive(Deserialize)]
struct Metadata {
    go: Toolchain,
}

impl Buildpack for GoBuildpack {
    type Platform = GenericPlatform;
    type Metadata = Metadata;
    type Error = Failure;

    fn detect(&self, context: DetectContext<Self>) -> libcnb::Result<DetectResult, Failure> {
        if context.app_dir.join("go.mod").is_file() {
            DetectResultBuilder::pass().build()
        } else {
            DetectResultBuilder::fail().build()
        }
    }

    fn build(&self, context: BuildContext<Self>) -> libcnb::Result<BuildResult, Failure> {
        let env = environment(&context.platform);
        let env = toolchain::provide(&context, &env)?;
        let programs = programs::find(&context.app_dir, &env)?;
        compile::compile(&context, &programs, &env)?;
        step("Processes");
        let mut launch = LaunchBuilder::new();
        for program in programs {
            detail(format!("{}: {}", program.process, program.name));
            let is_web = program.process.as_str() == "web";
            launch.process(ProcessBuilder::new(program.process, [program.name]).default(is_web).build());
        }
        BuildResultBuilder::new().launch(launch.build()).build()
    }

    fn on_error(&self, error: libcnb::Error<Failure>) {
        report(&error);
    }
}

buildpack_main!(GoBuildpack);
