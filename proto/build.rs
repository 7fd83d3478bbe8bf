//! Compiles the protos without `protoc`.

use std::{env, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 3] = [
    "paastech/git/v1/git.proto",
    "paastech/pomegranate/v1/pomegranate.proto",
    "paastech/control/v1/control.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=paastech");
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".paastech.git.v1.ArchiveResponse.chunk")
        .bytes(".paastech.git.v1.ExportRepositoryResponse.chunk")
        .compile_fds(descriptors)?;
    Ok(())
}
