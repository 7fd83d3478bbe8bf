//! What an installation's folder holds: `.env`, secrets, certificates, what the proxy reads.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use paastech_runtime::SecretFiles;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::{
    images, inputs,
    settings::{DEFAULTS, REGISTRY, Settings},
    values::Proxy,
};
use crate::{engine::Engine, paths, random};

/// The user of the services, in their images and on the host.
const UID: u32 = 870;
/// The public image, where no program is given.
pub(super) const TRAEFIK: &str = "traefik:v3.7.9";

/// Makes what is absent, keeps what is there, and returns the installation's id.
pub(super) fn write(settings: &Settings, engine: &Engine) -> Result<String> {
    let dir = settings.dir.as_path();
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    drop(SecretFiles::ensure(dir.join("secrets"))?.label_hmac()?);
    let of_api = SecretFiles::ensure(dir.join("secrets/api"))?;
    drop((of_api.kek()?, of_api.jwt()?));
    let instance = of_api.instance()?;
    database_password(dir)?;
    for outcome in paastech_certs::ensure(&dir.join("certs"), OffsetDateTime::now_utc(), false)? {
        own_all(&dir.join("certs").join(outcome.service.name()))?;
    }
    let of_registry = dir.join("certs/registry-token");
    paastech_certs::registry_token(&of_registry, OffsetDateTime::now_utc())?;
    own_all(&of_registry)?;
    own_all(&dir.join("secrets/api"))?;
    own(&dir.join("secrets/label-hmac"))?;
    for (name, mode) in [("gate", 0o755), ("acme", 0o700), ("dns", 0o700), ("traefik", 0o755)] {
        let path = dir.join(name);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        own_all(&path)?;
    }
    let own_settings = settings.own_configuration();
    if !own_settings.exists() {
        fs::write(
            &own_settings,
            "# This installation's own configuration, over the tier's: see deploy/config.\n",
        )?;
    }
    let socket = fs::metadata(&engine.socket).context("the engine's socket cannot be looked at")?.gid();
    let mut variables = variables(settings, socket, &instance);
    let of_traefik = traefik(settings, &variables)?;
    // The services are another user, whatever root's umask is.
    for path in of_traefik.iter().chain([&own_settings]) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
    }
    let certificate = of_registry.join("certificate.pem");
    variables.extend(inputs::hashes(settings, &certificate, &of_traefik)?);
    fs::write(settings.env_file(), text(&variables))?;
    Ok(instance)
}

/// The variables of the compose file and of Traefik's configuration.
pub(super) fn variables(
    settings: &Settings,
    engine_group: u32,
    instance: &str,
) -> Vec<(&'static str, String)> {
    let network = settings.network();
    let traefik = settings.proxy() == Proxy::Traefik;
    let [behind, behind_internal] = settings.inner_edge();
    let before = format!("{}:{}", settings.listen(), settings.http_port());
    let (edge, internal) = if traefik {
        (behind.to_string(), behind_internal.to_string())
    } else {
        (before, format!("{network}.1:8081"))
    };
    let public = match (traefik, settings.is_local()) {
        (true, _) => format!("{network}.1:8082"),
        // On loopback no container reaches it: its table alone is asked then.
        (false, true) => String::new(),
        (false, false) => format!("{network}.1:{}", settings.http_port()),
    };
    let traefik_bin = settings.traefik_bin.as_deref();
    let traefik_image = match traefik_bin {
        Some(_) => format!("{}/traefik:{}", images::REPOSITORY, settings.tag()),
        None => TRAEFIK.to_owned(),
    };
    // One file for each authority: certificates of one that tries things out are none of the other's.
    let authority = hex::encode(&Sha256::digest(settings.acme_ca())[..4]);
    vec![
        ("COMPOSE_PROJECT_NAME", settings.name().to_owned()),
        ("COMPOSE_PROFILES", if traefik { "traefik" } else { "" }.to_owned()),
        ("PAASTECH_DIR", settings.dir.display().to_string()),
        ("PAASTECH_IMAGES", images::REPOSITORY.to_owned()),
        ("PAASTECH_TAG", settings.tag().to_owned()),
        ("PAASTECH_TRAEFIK", traefik_image),
        ("PAASTECH_TRAEFIK_BIN", traefik_bin.map(|path| path.display().to_string()).unwrap_or_default()),
        ("PAASTECH_INSTANCE", instance.to_owned()),
        ("PAASTECH_TIER", settings.tier().to_string()),
        ("PAASTECH_PROXY", settings.proxy().to_string()),
        ("PAASTECH_PROXY_PUBLIC", public),
        ("PAASTECH_EDGE_LISTEN", edge),
        ("PAASTECH_EDGE_INTERNAL", internal),
        ("PAASTECH_NETWORK", network.to_owned()),
        ("PAASTECH_FIREWALL", settings.firewall.to_string()),
        ("PAASTECH_ENGINE_GROUP", engine_group.to_string()),
        ("PAASTECH_DOMAIN", settings.domain().to_owned()),
        ("PAASTECH_LISTEN", settings.listen().to_string()),
        ("PAASTECH_HTTP_PORT", settings.http_port().to_string()),
        ("PAASTECH_HTTPS_PORT", settings.https_port().to_string()),
        ("PAASTECH_SSH_HOST", settings.ssh_host().to_owned()),
        ("PAASTECH_SSH_PORT", settings.ssh_port().to_string()),
        ("PAASTECH_API_PORT", settings.api().port().to_string()),
        (REGISTRY, settings.registry().port().to_string()),
        ("PAASTECH_API_URL", settings.api_url()),
        ("PAASTECH_APP_PORT", settings.outside().1.to_string()),
        ("PAASTECH_ACME_EMAIL", settings.acme_email().to_owned()),
        ("PAASTECH_ACME_PROVIDER", settings.acme_provider().to_owned()),
        ("PAASTECH_ACME_CA", settings.acme_ca().to_owned()),
        ("PAASTECH_ACME_STORE", format!("/acme/{authority}.json")),
        (DEFAULTS, settings.defaults()),
    ]
}

/// The file that holds these.
pub(super) fn text(variables: &[(&'static str, String)]) -> String {
    let mut text =
        "# Written by `cargo xtask install`, which keeps what was decided by a flag until another says otherwise.\n"
            .to_owned();
    for (key, value) in variables {
        writeln!(text, "{key}={value}").expect("a string takes all that is written to it");
    }
    text
}

/// What Traefik reads, with the installation's values in it; the files that it reads at its start.
fn traefik(settings: &Settings, variables: &[(&'static str, String)]) -> Result<Vec<PathBuf>> {
    let dir = settings.dir.join("traefik");
    let source = if settings.has_tls() { "tls.yml" } else { "plain.yml" };
    for (from, to) in [(source, "static.yml"), ("dynamic.yml", "dynamic.yml")] {
        fs::write(dir.join(to), template(from, variables)?)?;
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(settings.dir.join("dns"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    let plain = |name: &&String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let lines: String =
        names.iter().filter(plain).map(|name| format!("{name}_FILE=/run/secrets/dns/{name}\n")).collect();
    fs::write(dir.join("dns.env"), lines)?;
    Ok(["static.yml", "dynamic.yml", "dns.env"].map(|name| dir.join(name)).into())
}

/// One of the files in `traefik/`, with these values.
pub(crate) fn template(name: &str, values: &[(&str, String)]) -> Result<String> {
    filled(&fs::read_to_string(paths::workspace().join("traefik").join(name))?, values)
}

/// The text with a value in place of each `${NAME}`.
fn filled(text: &str, values: &[(&str, String)]) -> Result<String> {
    let mut parts = text.split("${");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').context("a ${ without its }")?;
        let Some((_, value)) = values.iter().find(|(known, _)| *known == name) else {
            bail!("${{{name}}}: there is no such value");
        };
        filled.push_str(value);
        filled.push_str(rest);
    }
    Ok(filled)
}

/// The database's password, made at the first call; it lies in the api's URL.
pub(super) fn database_password(dir: &Path) -> Result<String> {
    let password = random::hex(24)?;
    let make = || format!("postgres://paastech:{password}@postgres/paastech");
    let url = SecretFiles::ensure(dir.join("secrets/api"))?.text("database-url", make)?;
    let password = url.strip_prefix("postgres://paastech:").and_then(|rest| rest.split_once('@'));
    Ok(password.context("api/database-url among the secrets: not what this program writes")?.0.to_owned())
}

/// The id of the installation in this folder.
pub(super) fn instance(dir: &Path) -> Result<String> {
    let path = dir.join("secrets/api/instance");
    let text =
        fs::read_to_string(&path).with_context(|| format!("nothing is installed in {}", dir.display()))?;
    Ok(text.trim().to_owned())
}

/// The address of the registry of the installation in this folder.
pub(super) fn registry(dir: &Path) -> Result<String> {
    Ok(format!("127.0.0.1:{}", variable(dir, REGISTRY)?))
}

/// What its images' names end with.
pub(super) fn tag(dir: &Path) -> Result<String> {
    variable(dir, "PAASTECH_TAG")
}

/// What docker-compose calls it.
pub(super) fn name(dir: &Path) -> Result<String> {
    variable(dir, "COMPOSE_PROJECT_NAME")
}

fn variable(dir: &Path, name: &str) -> Result<String> {
    let text = fs::read_to_string(dir.join(".env"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    Ok(value.with_context(|| format!("{}/.env: {name} is not set", dir.display()))?.to_owned())
}

fn own(path: &Path) -> Result<()> {
    chown(path, Some(UID), Some(UID)).with_context(|| format!("cannot give {} its owner", path.display()))
}

fn own_all(dir: &Path) -> Result<()> {
    own(dir)?;
    fs::read_dir(dir)?.try_for_each(|entry| own(&entry?.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_traefiks_configuration_has_a_value() {
        let text = "a ${X} b ${Y}c";
        let value = |name, value: &str| (name, value.to_owned());
        assert_eq!(filled(text, &[value("X", "1"), value("Y", "2")]).unwrap(), "a 1 b 2c");
        assert!(filled(text, &[value("X", "1")]).unwrap_err().to_string().contains("${Y}"));
    }
}
