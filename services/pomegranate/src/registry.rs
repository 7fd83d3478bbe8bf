//! The registry that keeps built images beside the engine, one repository for each project: images are pushed there
//! and run by their digest, so that whatever the engine loses is had again.

mod collect;
mod http;
mod transfer;

pub(crate) use self::transfer::Upload;

use std::{collections::BTreeSet, sync::atomic::AtomicBool};

use ::http::uri::Authority;
use anyhow::ensure;
use bollard::auth::DockerCredentials;
use paastech_types::ProjectId;
use rand::Rng as _;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::http::Http;
use crate::{config::RegistryConfig, error::Error};

/// The registry, and who may change it now.
pub(crate) struct Registry {
    config: RegistryConfig,
    root: String,
    http: Http,
    /// Pushes hold it together. The garbage collection holds it alone: it deletes layers that no manifest names, and a
    /// push sends its manifest last. So does what removes some of a project's images, of which a push may bring one
    /// again; where all of them go it is shared.
    uploads: RwLock<()>,
    /// Whether a collection may still run that somebody before us, or we ourselves, lost sight of.
    unsettled: AtomicBool,
}

impl Registry {
    /// Not asked for anything yet.
    pub(crate) fn new(config: RegistryConfig) -> anyhow::Result<Self> {
        ensure!(is_address(&config.address), "address: a host's name with a dot, localhost, or host:port");
        ensure!(
            config.prefix.split('/').all(is_name),
            "prefix: names of repositories in lower case, with / between them"
        );
        ensure!(
            config.username.is_empty() == config.password.expose().is_empty(),
            "username and password: both or none"
        );
        Ok(Self {
            root: format!("{}/{}", config.address, config.prefix),
            http: Http::new(&config)?,
            config,
            uploads: RwLock::new(()),
            unsettled: AtomicBool::new(true),
        })
    }

    /// What the references of all images in it begin with.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// A name to push a build of the project's by. Nobody guesses it, and no other push takes it.
    pub(crate) fn new_name(&self, project: ProjectId) -> String {
        let mut tag = [0_u8; 16];
        rand::rng().fill_bytes(&mut tag);
        let repository = paastech_registry::repository(&self.config.prefix, project);
        format!("{}/{repository}:{}", self.config.address, hex::encode(tag))
    }

    /// Holds off pushes, so that what is looked at stays as it is.
    pub(crate) async fn hold(&self) -> RwLockWriteGuard<'_, ()> {
        self.uploads.write().await
    }

    /// Holds off collections, but no pushes.
    pub(crate) async fn share(&self) -> RwLockReadGuard<'_, ()> {
        self.uploads.read().await
    }

    /// Deletes the project's manifests but those that a reference in `keep` names. For who [holds](Self::hold) it, or
    /// [shares](Self::share) it and keeps none.
    pub(crate) async fn prune(&self, project: ProjectId, keep: &[String], token: &str) -> Result<(), Error> {
        let repository = self.http.repository(project, token);
        let mut digests = BTreeSet::new();
        for tag in repository.tags().await? {
            digests.extend(repository.digest(&tag).await?);
        }
        let kept = |digest: &str| keep.iter().any(|reference| reference.ends_with(&format!("@{digest}")));
        for digest in digests.iter().filter(|digest| !kept(digest)) {
            repository.delete(digest).await?;
        }
        Ok(())
    }

    /// With what the engine goes there.
    fn credentials(&self, token: &str) -> DockerCredentials {
        if !token.is_empty() {
            return DockerCredentials {
                registrytoken: Some(token.to_owned()),
                ..DockerCredentials::default()
            };
        }
        let own = |text: &str| (!self.config.username.is_empty()).then(|| text.to_owned());
        DockerCredentials {
            username: own(&self.config.username),
            password: own(self.config.password.expose()),
            serveraddress: own(&self.config.address),
            ..DockerCredentials::default()
        }
    }
}

/// A host, with a port or without. An engine takes one word for a repository of its own default registry.
fn is_address(address: &str) -> bool {
    let Ok(authority) = address.parse::<Authority>() else { return false };
    let Some(rest) = address.strip_prefix(authority.host()) else { return false };
    let port = rest.strip_prefix(':').map(str::parse::<u16>);
    let is_one_word = authority.host() != "localhost" && !address.contains(['.', ':']);
    !authority.host().is_empty() && !is_one_word && port.map_or(rest.is_empty(), |port| port.is_ok())
}

/// A part of a repository's name.
fn is_name(part: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = part.bytes().next().zip(part.bytes().last());
    ends.is_some_and(|(first, last)| plain(first) && plain(last))
        && part.bytes().all(|b| plain(b) || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use paastech_runtime::Secret;

    use super::*;

    #[test]
    fn a_registry_that_no_image_could_be_named_by_or_asked_for_is_refused() {
        let good = || RegistryConfig {
            address: "127.0.0.1:5000".to_owned(),
            prefix: "apps".to_owned(),
            url: "http://registry:5000".to_owned(),
            username: String::new(),
            password: Secret::default(),
        };
        let with = |key: &str, value: &str| {
            let (mut config, value) = (good(), value.to_owned());
            match key {
                "address" => config.address = value,
                "prefix" => config.prefix = value,
                "url" => config.url = value,
                "username" => config.username = value,
                _ => config.password = Secret::new(value),
            }
            Registry::new(config)
        };
        for (key, value) in [
            ("address", "registry.example.org"),
            ("address", "registry:5000"),
            ("address", "localhost"),
            ("address", "[::1]:5000"),
            ("prefix", "some/where-else/my.apps_2"),
            ("url", "https://registry.example.org/"),
        ] {
            assert!(with(key, value).is_ok(), "{key}: {value}");
        }
        for (key, value) in [
            ("address", ""),
            ("address", "registry"),
            ("address", ":5000"),
            ("address", "registry:"),
            ("address", "registry:70000"),
            ("address", "http://registry:5000"),
            ("address", "registry:5000/"),
            ("address", "us@registry:5000"),
            ("prefix", ""),
            ("prefix", "Apps"),
            ("prefix", "/apps"),
            ("prefix", "apps/"),
            ("prefix", "apps-"),
            ("prefix", "apps:latest"),
            ("url", ""),
            ("url", "registry:5000"),
            ("url", "ftp://registry"),
            ("username", "us, without a password"),
            ("password", "nobody's"),
        ] {
            let refused = with(key, value).err().expect(value).to_string();
            assert!(refused.contains(key), "{key}: {value}: {refused}");
        }
    }
}
