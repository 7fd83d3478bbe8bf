//! The buildpack `paastech/static`: serves a directory of files with a small server that it ships.

mod root;

use std::fs;

use libcnb::{
    Buildpack,
    build::{BuildContext, BuildResult, BuildResultBuilder},
    buildpack_main,
    data::{
        launch::{LaunchBuilder, ProcessBuilder},
        layer_name, process_type,
    },
    detect::{DetectContext, DetectResult, DetectResultBuilder},
    generic::{GenericMetadata, GenericPlatform},
    layer::UncachedLayerDefinition,
};
use paastech_buildpack_steps::{Failure, environment, flag, report, step};

const SERVER: &str = "static-server";

struct StaticBuildpack;

impl Buildpack for StaticBuildpack {
    type Platform = GenericPlatform;
    type Metadata = GenericMetadata;
    type Error = Failure;

    fn detect(&self, context: DetectContext<Self>) -> libcnb::Result<DetectResult, Failure> {
        if root::may_exist(&context.app_dir, &environment(&context.platform)) {
            DetectResultBuilder::pass().build()
        } else {
            DetectResultBuilder::fail().build()
        }
    }

    fn build(&self, context: BuildContext<Self>) -> libcnb::Result<BuildResult, Failure> {
        let env = environment(&context.platform);
        let root = root::find(&context.app_dir, &env)?;
        let single_page = flag(&env, "BP_STATIC_SPA");
        let fallback = if single_page { ", index.html for what no file has" } else { "" };
        step(format!("Serving the files of {root}{fallback}"));
        let definition = UncachedLayerDefinition { build: false, launch: true };
        let layer = context.uncached_layer(layer_name!("server"), definition)?;
        let bin = layer.path().join("bin");
        fs::create_dir_all(&bin).map_err(Failure::io("make", &bin))?;
        let server = context.buildpack_dir.join("bin").join(SERVER);
        fs::copy(&server, bin.join(SERVER)).map_err(Failure::io("copy", &server))?;
        let mut web = ProcessBuilder::new(process_type!("web"), [SERVER]);
        web.arg(root).default(true);
        if single_page {
            web.arg("--single-page");
        }
        let launch = LaunchBuilder::new().process(web.build()).build();
        BuildResultBuilder::new().launch(launch).build()
    }

    fn on_error(&self, error: libcnb::Error<Failure>) {
        report(&error);
    }
}

buildpack_main!(StaticBuildpack);
