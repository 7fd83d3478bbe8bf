//! The buildpack `paastech/rust`: compiles the binaries of a Cargo package or workspace with the builder's Rust.

mod compile;
mod programs;

use libcnb::{
    Buildpack, Env,
    build::{BuildContext, BuildResult, BuildResultBuilder},
    buildpack_main,
    data::launch::{LaunchBuilder, ProcessBuilder},
    detect::{DetectContext, DetectResult, DetectResultBuilder},
    generic::{GenericMetadata, GenericPlatform},
};
use paastech_buildpack_steps::{Failure, Tool, detail, environment, report, step};

struct RustBuildpack;

impl Buildpack for RustBuildpack {
    type Platform = GenericPlatform;
    type Metadata = GenericMetadata;
    type Error = Failure;

    fn detect(&self, context: DetectContext<Self>) -> libcnb::Result<DetectResult, Failure> {
        if context.app_dir.join("Cargo.toml").is_file() {
            DetectResultBuilder::pass().build()
        } else {
            DetectResultBuilder::fail().build()
        }
    }

    fn build(&self, context: BuildContext<Self>) -> libcnb::Result<BuildResult, Failure> {
        if !context.app_dir.join("Cargo.lock").is_file() {
            let text = "There is no Cargo.lock. Run `cargo generate-lockfile` and commit it: without it, each \
                        build would take other versions.";
            return Err(Failure::Refused(text.to_owned()).into());
        }
        let env = environment(&context.platform);
        let compiler = compiler(&env)?;
        let caches = compile::Caches::take_up(&context, &compiler)?;
        let env = caches.environment(&env);
        let programs = programs::find(&context.app_dir, &env)?;
        compile::compile(&context, &caches, &programs, &env)?;
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

/// The full text of the compiler's version, which is what its output follows from.
fn compiler(env: &Env) -> Result<String, Failure> {
    let text = Tool::new("rustc --version", "rustc", env).args(["--version", "--verbose"]).output()?;
    step(text.lines().next().unwrap_or_default().replacen("rustc", "Rust", 1));
    Ok(text)
}

buildpack_main!(RustBuildpack);
