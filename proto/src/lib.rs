//! The generated protobuf types, clients and servers; no logic.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::too_many_lines, reason = "generated code")]

/// `paastech.git.v1`: repositories.
pub mod git {
    tonic::include_proto!("paastech.git.v1");
}

/// `paastech.pomegranate.v1`: builds and releases.
pub mod pomegranate {
    tonic::include_proto!("paastech.pomegranate.v1");
}

/// `paastech.control.v1`: what the SSH server asks of the api.
pub mod control {
    tonic::include_proto!("paastech.control.v1");
}

/// The encoded `FileDescriptorSet` of all three, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
