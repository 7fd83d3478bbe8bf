//! What we offer: no SHA-1, no Diffie-Hellman over finite fields, no MAC before encryption, no compression.

use std::{borrow::Cow, time::Duration};

use russh::{
    MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex,
    keys::{Algorithm, EcdsaCurve, HashAlg},
    mac, server,
};

use super::{KEEPALIVE, host_key::HostKey};

/// Keys that one connection may try.
pub(super) const MAX_ATTEMPTS: usize = 20;

const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_128_CTR,
];
const MACS: &[mac::Name] = &[mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM];
const KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::SkEd25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::SkEcdsaSha2NistP256,
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

/// The configuration of every connection.
pub(super) fn config(host_key: &HostKey) -> server::Config {
    server::Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-PaaSTech")),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        // Clients ask once without any key, and once per key they hold: neither may cost them a second.
        auth_rejection_time: Duration::from_millis(75),
        auth_rejection_time_initial: Some(Duration::ZERO),
        max_auth_attempts: MAX_ATTEMPTS,
        keys: vec![host_key.0.clone()],
        // What one connection may hold in memory: channels × buffer × the longest packet (256 KiB).
        channel_buffer_size: 8,
        preferred: Preferred {
            kex: Cow::Borrowed(KEX),
            key: Cow::Borrowed(KEYS),
            host_key_certificates: Cow::Borrowed(&[]),
            cipher: Cow::Borrowed(CIPHERS),
            mac: Cow::Borrowed(MACS),
            compression: Cow::Borrowed(&[compression::NONE]),
        },
        inactivity_timeout: Some(Duration::from_secs(600)),
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: 3,
        nodelay: true,
        ..server::Config::default()
    }
}

/// Whether a client may prove itself with this: `server-sig-algs` only advises it.
pub(super) fn is_taken(algorithm: &Algorithm) -> bool {
    KEYS.contains(algorithm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_over_sha1_are_refused() {
        assert!(!is_taken(&Algorithm::Rsa { hash: None }));
        assert!(!is_taken(&Algorithm::Dsa));
        assert!(is_taken(&Algorithm::Rsa { hash: Some(HashAlg::Sha256) }));
    }
}
