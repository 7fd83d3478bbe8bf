//! What a setting may be, on the command line and in `.env`.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use clap::ValueEnum;

const STAGING_CA: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";
/// Whose certificates browsers take.
pub(super) const PRODUCTION_CA: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// What an installation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Tier {
    /// Trying it on one's own machine
    Development,
    /// Tests
    Test,
    /// What production will be
    Staging,
    /// For users
    Production,
}

/// What serves apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Proxy {
    /// Our own, over plain HTTP
    Edge,
    /// Traefik
    Traefik,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("none is hidden").get_name())
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("none is hidden").get_name())
    }
}

impl FromStr for Tier {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        <Self as ValueEnum>::from_str(text, false)
    }
}

impl FromStr for Proxy {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        <Self as ValueEnum>::from_str(text, false)
    }
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "a port is a number up to 65535".to_owned())
}

pub(super) fn network(text: &str) -> Result<String, String> {
    let private = |ip: Ipv4Addr| ip.is_private() && ip.octets()[3] == 0;
    match format!("{text}.0").parse() {
        Ok(ip) if private(ip) => Ok(text.to_owned()),
        _ => Err("three numbers of a private network, such as 10.187.1".to_owned()),
    }
}

pub(super) fn name(text: &str) -> Result<String, String> {
    let part = |part: &str| {
        !part.is_empty()
            && part.len() <= 63
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if text.len() <= 180 && text.split('.').all(part) {
        Ok(text.to_owned())
    } else {
        Err("lower-case letters, digits and hyphens, such as paas.example.org".to_owned())
    }
}

pub(super) fn authority(text: &str) -> Result<String, String> {
    match text {
        "staging" => Ok(STAGING_CA.to_owned()),
        "production" => Ok(PRODUCTION_CA.to_owned()),
        _ if text.starts_with("https://") && !text.contains(['"', '\n', ' ']) => Ok(text.to_owned()),
        _ => Err("`staging`, `production`, or the https:// address of an ACME directory".to_owned()),
    }
}

pub(super) fn email(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@.+-_".contains(&byte);
    let parts: Vec<&str> = text.split('@').collect();
    if text.bytes().all(plain) && parts.len() == 2 && parts.iter().all(|part| !part.is_empty()) {
        Ok(text.to_owned())
    } else {
        Err("an e-mail address, such as root@example.org".to_owned())
    }
}
