//! Random text for passwords.

use std::{fs::File, io::Read};

use anyhow::Result;

/// `bytes` random bytes, in hex.
pub(crate) fn hex(bytes: usize) -> Result<String> {
    let mut random = vec![0; bytes];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(hex::encode(random))
}
