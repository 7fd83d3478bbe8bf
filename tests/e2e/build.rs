//! Compiles the app under test as a static binary: its image is `FROM scratch`, so that no test needs another.

use std::{env, path::PathBuf, process::Command};

const SOURCE: &str = "apps/app.rs";

#[expect(
    clippy::disallowed_methods,
    reason = "a build script: cargo speaks through the environment, and rustc is run with an argv"
)]
fn main() {
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-changed=build.rs");
    let rustc = env::var("RUSTC").expect("cargo sets RUSTC");
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("app");
    let status = Command::new(rustc)
        .args(["--edition", "2024", "--crate-name", "app", "--crate-type", "bin", "--target", &target])
        .args(["-C", "target-feature=+crt-static", "-C", "opt-level=1", "-C", "panic=abort"])
        .args(["-C", "strip=symbols", SOURCE, "-o"])
        .arg(&out)
        .status()
        .expect("rustc can be started");
    assert!(status.success(), "the app under test does not compile");
}
