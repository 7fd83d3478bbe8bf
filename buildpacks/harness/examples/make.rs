//! A whole buildpack: runs `make` and starts the program `server` that it leaves.

use libcnb::{
    Buildpack,
    build::{BuildContext, BuildResult, BuildResultBuilder},
    buildpack_main,
    data::{
        launch::{LaunchBuilder, ProcessBuilder},
        process_type,
    },
    detect::{DetectContext, DetectResult, DetectResultBuilder},
    generic::{GenericMetadata, GenericPlatform},
};
use paastech_buildpack_steps::{Failure, Tool, environment, report, step};

struct MakeBuildpack;

impl Buildpack for MakeBuildpack {
    type Platform = GenericPlatform;
    type Metadata = GenericMetadata;
    type Error = Failure;

    fn detect(&self, context: DetectContext<Self>) -> libcnb::Result<DetectResult, Failure> {
        if context.app_dir.join("Makefile").is_file() {
            DetectResultBuilder::pass().build()
        } else {
            DetectResultBuilder::fail().build()
        }
    }

    fn build(&self, context: BuildContext<Self>) -> libcnb::Result<BuildResult, Failure> {
        step("Running make");
        let env = environment(&context.platform);
        Tool::new("make", "make", &env)
            .current_dir(&context.app_dir)
            .advice("Its output above says why. Does `make` work on your machine?")
            .run()?;
        let web = ProcessBuilder::new(process_type!("web"), ["./server"]).default(true).build();
        BuildResultBuilder::new().launch(LaunchBuilder::new().process(web).build()).build()
    }

    fn on_error(&self, error: libcnb::Error<Failure>) {
        report(&error);
    }
}

buildpack_main!(MakeBuildpack);
