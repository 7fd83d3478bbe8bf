//! What the names of one installation's things in the engine begin with.

use sha2::{Digest as _, Sha256};

/// `pt-` and the first digits of a hash of the installation: its network's name, and what its images' repositories
/// (`<prefix>/<project>`) begin with.
#[must_use]
pub fn image_prefix(instance: &str) -> String {
    format!("pt-{}", hex::encode(&Sha256::digest(instance.as_bytes())[..4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_short_and_depends_on_the_installation_alone() {
        // An interface's name, which the network's is, has at most 15 bytes.
        assert_eq!(image_prefix("i1"), image_prefix("i1"));
        assert_ne!(image_prefix("i1"), image_prefix("i2"));
        assert_eq!(image_prefix("abc"), "pt-ba7816bf");
    }
}
