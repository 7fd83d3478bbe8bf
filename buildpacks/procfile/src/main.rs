//! The buildpack `paastech/procfile`: one process per line of a Procfile, `web` the default.

mod parse;

use std::fs;

use libcnb::{
    Buildpack,
    build::{BuildContext, BuildResult, BuildResultBuilder},
    buildpack_main,
    data::launch::{LaunchBuilder, ProcessBuilder},
    detect::{DetectContext, DetectResult, DetectResultBuilder},
    generic::{GenericMetadata, GenericPlatform},
};
use paastech_buildpack_steps::{Failure, detail, report, step};

const FILE: &str = "Procfile";

struct ProcfileBuildpack;

impl Buildpack for ProcfileBuildpack {
    type Platform = GenericPlatform;
    type Metadata = GenericMetadata;
    type Error = Failure;

    fn detect(&self, context: DetectContext<Self>) -> libcnb::Result<DetectResult, Failure> {
        if context.app_dir.join(FILE).is_file() {
            DetectResultBuilder::pass().build()
        } else {
            DetectResultBuilder::fail().build()
        }
    }

    fn build(&self, context: BuildContext<Self>) -> libcnb::Result<BuildResult, Failure> {
        let path = context.app_dir.join(FILE);
        let text = fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
        let entries = parse::entries(&text).map_err(Failure::Refused)?;
        step("Processes of the Procfile");
        let mut launch = LaunchBuilder::new();
        for entry in entries {
            detail(format!("{}: {}", entry.process, entry.command));
            let is_web = entry.process.as_str() == "web";
            // The line is the app's own text, meant for a shell inside the app's container.
            let process =
                ProcessBuilder::new(entry.process, ["bash", "-c", entry.command]).default(is_web).build();
            launch.process(process);
        }
        BuildResultBuilder::new().launch(launch.build()).build()
    }

    fn on_error(&self, error: libcnb::Error<Failure>) {
        report(&error);
    }
}

buildpack_main!(ProcfileBuildpack);
