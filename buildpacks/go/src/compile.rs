//! Compiling the programs into a launch layer.

use std::fs;

use libcnb::{Env, build::BuildContext, data::layer_name, layer::UncachedLayerDefinition};
use paastech_buildpack_steps::{Failure, Tool, detail, knob, step};

use crate::{GoBuildpack, programs::Program};

/// Fills the layer `programs`.
pub(crate) fn compile(
    context: &BuildContext<GoBuildpack>,
    programs: &[Program],
    env: &Env,
) -> libcnb::Result<(), Failure> {
    let definition = UncachedLayerDefinition { build: false, launch: true };
    let layer = context.uncached_layer(layer_name!("programs"), definition)?;
    let bin = layer.path().join("bin");
    fs::create_dir_all(&bin).map_err(Failure::io("make", &bin))?;
    step("Compiling");
    for program in programs {
        detail(&program.package);
        let mut tool = Tool::new(&format!("go build {}", program.package), "go", env).args([
            "build",
            "-trimpath",
            "-buildvcs=false",
        ]);
        if let Some(flags) = knob(env, "BP_GO_LDFLAGS") {
            tool = tool.arg(format!("-ldflags={flags}"));
        }
        tool.arg("-o")
            .arg(bin.join(&program.name))
            .arg(&program.package)
            .current_dir(&context.app_dir)
            .advice("Its output above says why. If go.sum is out of date, run `go mod tidy` and commit it.")
            .run()?;
    }
    Ok(())
}
