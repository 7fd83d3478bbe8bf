//! Compiles the probe as a static binary, so that it can be embedded: it has to run in any image, `scratch` included.

use std::{env, path::PathBuf, process::Command};

const SOURCE: &str = "../../crates/probe/src";

#[expect(
    clippy::disallowed_methods,
    reason = "a build script: cargo speaks through the environment, and rustc is run with an argv"
)]
fn main() {
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-changed=build.rs");
    let rustc = env::var("RUSTC").expect("cargo sets RUSTC");
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("probe");
    let status = Command::new(rustc)
        .args(["--edition", "2024", "--crate-name", "probe", "--crate-type", "bin", "--target", &target])
        .args(["-C", "target-feature=+crt-static", "-C", "opt-level=z", "-C", "panic=abort"])
        .args(["-C", "lto=fat", "-C", "codegen-units=1", "-C", "strip=symbols"])
        .arg(format!("{SOURCE}/main.rs"))
        .arg("-o")
        .arg(&out)
        .status()
        .expect("rustc can be started");
    assert!(status.success(), "the probe does not compile");
}
