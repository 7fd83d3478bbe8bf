//! What an operator decides: by a flag, else as it was decided before, else by default.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;

use super::values::{PRODUCTION_CA, Proxy, Tier, authority, email, name, network, port};
use crate::firewall::Rules;

/// Where an installation is, unless it is told otherwise.
pub(super) const DIR: &str = "/srv/paastech";

/// The variable of the registry's port.
pub(super) const REGISTRY: &str = "PAASTECH_REGISTRY_PORT";
/// The variable that names those which nobody decided: they follow the defaults.
pub(super) const DEFAULTS: &str = "PAASTECH_DEFAULTS";

/// What an operator decides; what is absent is as it was, or as it is by default.
#[derive(Debug, Clone, Args)]
pub(super) struct Settings {
    /// The folder of the installation's settings, secrets and certificates
    #[arg(long, value_name = "DIR", default_value = DIR)]
    pub(super) dir: PathBuf,
    /// The API is served at api.<DOMAIN>, apps at <project>.user-app.<DOMAIN> [default: localhost]
    #[arg(long, value_parser = name)]
    domain: Option<String>,
    /// What the installation is for [default: development on localhost, else production]
    #[arg(long)]
    tier: Option<Tier>,
    /// What serves apps [default: ours on localhost, else Traefik, with a wildcard certificate]
    #[arg(long)]
    proxy: Option<Proxy>,
    /// A Traefik program to make its image from, where the public image cannot be had
    #[arg(long, value_name = "FILE", env = "TRAEFIK_BIN")]
    pub(super) traefik_bin: Option<PathBuf>,
    /// Who hears of certificates that will expire
    #[arg(long, value_name = "EMAIL", value_parser = email)]
    acme_email: Option<String>,
    /// Who serves the domain's DNS, by lego's name; its credentials are files in <DIR>/dns [default: porkbun]
    #[arg(long, value_name = "NAME", value_parser = name)]
    acme_provider: Option<String>,
    /// Who signs certificates: `staging` (browsers refuse those), `production` or an ACME directory [default: production]
    #[arg(long, value_name = "CA", value_parser = authority)]
    acme_ca: Option<String>,
    /// Where HTTP is served [default: 8080 on loopback for localhost, else 80 everywhere]
    #[arg(long, value_name = "PORT")]
    http_port: Option<u16>,
    /// Where HTTPS is served, by Traefik [default: 443]
    #[arg(long, value_name = "PORT")]
    https_port: Option<u16>,
    /// Where git is served [default: 2222]
    #[arg(long, value_name = "PORT")]
    ssh_port: Option<u16>,
    /// Where the API is served on loopback [default: 7080]
    #[arg(long, value_name = "PORT")]
    api_port: Option<u16>,
    /// Where the host's engine finds the registry of built images, on loopback [default: 5000]
    #[arg(long, value_name = "PORT")]
    registry_port: Option<u16>,
    /// What docker-compose calls the installation [default: paastech]
    #[arg(long, value_parser = name)]
    name: Option<String>,
    /// The first three numbers of the services' own networks: others where these are taken [default: 10.187.1]
    #[arg(long, value_name = "A.B.C", value_parser = network)]
    network: Option<String>,
    /// What tells the images of one checkout from another's [default: local]
    #[arg(long, value_name = "TAG", value_parser = name)]
    tag: Option<String>,
    #[command(flatten)]
    pub(super) firewall: Rules,
}

impl Settings {
    /// Takes what no flag says from the installation's `.env`.
    pub(super) fn recall(mut self) -> Result<Self> {
        let Ok(text) = fs::read_to_string(self.env_file()) else { return Ok(self) };
        let file = self.env_file();
        let mut told =
            Told { known: text.lines().filter_map(|line| line.split_once('=')).collect(), file: &file };
        told.forget_defaults();
        told.fill(&mut self.domain, "PAASTECH_DOMAIN", name)?;
        told.fill(&mut self.tier, "PAASTECH_TIER", <Tier as FromStr>::from_str)?;
        told.fill(&mut self.proxy, "PAASTECH_PROXY", <Proxy as FromStr>::from_str)?;
        told.fill(&mut self.traefik_bin, "PAASTECH_TRAEFIK_BIN", |text| Ok(text.into()))?;
        told.fill(&mut self.acme_email, "PAASTECH_ACME_EMAIL", email)?;
        told.fill(&mut self.acme_provider, "PAASTECH_ACME_PROVIDER", name)?;
        told.fill(&mut self.acme_ca, "PAASTECH_ACME_CA", authority)?;
        told.fill(&mut self.http_port, "PAASTECH_HTTP_PORT", port)?;
        told.fill(&mut self.https_port, "PAASTECH_HTTPS_PORT", port)?;
        told.fill(&mut self.ssh_port, "PAASTECH_SSH_PORT", port)?;
        told.fill(&mut self.api_port, "PAASTECH_API_PORT", port)?;
        told.fill(&mut self.registry_port, REGISTRY, port)?;
        told.fill(&mut self.name, "COMPOSE_PROJECT_NAME", name)?;
        told.fill(&mut self.network, "PAASTECH_NETWORK", network)?;
        told.fill(&mut self.tag, "PAASTECH_TAG", name)?;
        let mut rules = None;
        told.fill(&mut rules, "PAASTECH_FIREWALL", Rules::parse)?;
        if self.firewall == Rules::default() {
            self.firewall = rules.unwrap_or_default();
        }
        Ok(self)
    }

    /// The variables whose values nobody decided.
    pub(super) fn defaults(&self) -> String {
        let names = [
            ("PAASTECH_DOMAIN", self.domain.is_none()),
            ("PAASTECH_TIER", self.tier.is_none()),
            ("PAASTECH_PROXY", self.proxy.is_none()),
            ("PAASTECH_ACME_PROVIDER", self.acme_provider.is_none()),
            ("PAASTECH_ACME_CA", self.acme_ca.is_none()),
            ("PAASTECH_HTTP_PORT", self.http_port.is_none()),
            ("PAASTECH_HTTPS_PORT", self.https_port.is_none()),
            ("PAASTECH_SSH_PORT", self.ssh_port.is_none()),
            ("PAASTECH_API_PORT", self.api_port.is_none()),
            (REGISTRY, self.registry_port.is_none()),
            ("COMPOSE_PROJECT_NAME", self.name.is_none()),
            ("PAASTECH_NETWORK", self.network.is_none()),
            ("PAASTECH_TAG", self.tag.is_none()),
        ];
        names
            .into_iter()
            .filter(|(_, defaulted)| *defaulted)
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
            .join(",")
    }

    pub(super) fn env_file(&self) -> PathBuf {
        self.dir.join(".env")
    }

    /// What the operator has over the tier's configuration.
    pub(super) fn own_configuration(&self) -> PathBuf {
        self.dir.join("settings.toml")
    }

    /// The domain of the API and the apps.
    pub(super) fn domain(&self) -> &str {
        self.domain.as_deref().unwrap_or("localhost")
    }

    pub(super) fn is_local(&self) -> bool {
        self.domain() == "localhost"
    }

    pub(super) fn tier(&self) -> Tier {
        self.tier.unwrap_or(if self.is_local() { Tier::Development } else { Tier::Production })
    }

    pub(super) fn proxy(&self) -> Proxy {
        self.proxy.unwrap_or(if self.is_local() { Proxy::Edge } else { Proxy::Traefik })
    }

    /// Whether the proxy serves HTTPS itself.
    pub(super) fn has_tls(&self) -> bool {
        self.proxy() == Proxy::Traefik && !self.is_local()
    }

    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("paastech")
    }

    pub(super) fn network(&self) -> &str {
        self.network.as_deref().unwrap_or("10.187.1")
    }

    pub(super) fn acme_email(&self) -> &str {
        self.acme_email.as_deref().unwrap_or_default()
    }

    pub(super) fn acme_provider(&self) -> &str {
        self.acme_provider.as_deref().unwrap_or("porkbun")
    }

    pub(super) fn acme_ca(&self) -> &str {
        self.acme_ca.as_deref().unwrap_or(PRODUCTION_CA)
    }

    /// What the images' names end with.
    pub(super) fn tag(&self) -> &str {
        self.tag.as_deref().unwrap_or("local")
    }

    /// Whom the public side listens for: the host alone on a laptop.
    pub(super) fn listen(&self) -> IpAddr {
        if self.is_local() { Ipv4Addr::LOCALHOST.into() } else { Ipv4Addr::UNSPECIFIED.into() }
    }

    /// The port of HTTP.
    pub(super) fn http_port(&self) -> u16 {
        self.http_port.unwrap_or(if self.is_local() { 8080 } else { 80 })
    }

    /// The port of HTTPS.
    pub(super) fn https_port(&self) -> u16 {
        self.https_port.unwrap_or(443)
    }

    /// Where the API is on the host itself.
    pub(super) fn api(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.api_port.unwrap_or(7080)).into()
    }

    /// How apps are reached from outside: the scheme, and the port.
    pub(super) fn outside(&self) -> (&'static str, u16) {
        match (self.is_local(), self.proxy()) {
            (true, _) => ("http", self.http_port()),
            (false, Proxy::Traefik) => ("https", self.https_port()),
            // Something in front of ours ends TLS.
            (false, Proxy::Edge) => ("https", 443),
        }
    }

    /// Where clients find the API.
    pub(super) fn api_url(&self) -> String {
        let (scheme, port) = self.outside();
        let port = if matches!((scheme, port), ("http", 80) | ("https", 443)) {
            String::new()
        } else {
            format!(":{port}")
        };
        format!("{scheme}://api.{}{port}", self.domain())
    }

    pub(super) fn ssh_host(&self) -> &str {
        if self.is_local() { "127.0.0.1" } else { self.domain() }
    }

    pub(super) fn ssh_port(&self) -> u16 {
        self.ssh_port.unwrap_or(2222)
    }

    /// The address of the registry, as the host's engine has it.
    pub(super) fn registry(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.registry_port.unwrap_or(5000)).into()
    }

    /// Our own edge, when Traefik is before it: one loopback port for requests, the next for questions.
    pub(super) fn inner_edge(&self) -> [SocketAddr; 2] {
        let after = |more: u16| (Ipv4Addr::LOCALHOST, self.api().port().saturating_add(more)).into();
        [after(1), after(2)]
    }

    /// Whether what is asked for can be had.
    pub(super) fn check(&self) -> Result<()> {
        let path = self.dir.to_str().context("--dir: not UTF-8")?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
        ensure!(
            self.dir.is_absolute() && path.bytes().all(plain) && path.len() <= 64,
            "--dir: an absolute path of at most 64 letters, digits, and . - _"
        );
        if self.has_tls() {
            ensure!(
                !self.acme_email().is_empty(),
                "--acme-email: who hears of certificates that will expire?"
            );
            ensure!(
                fs::read_dir(self.dir.join("dns")).is_ok_and(|mut files| files.next().is_some()),
                "{0}/dns: put the credentials of {1} there, each in a file of the name that lego documents \
                 (for porkbun {0}/dns/PORKBUN_API_KEY and {0}/dns/PORKBUN_SECRET_API_KEY)",
                self.dir.display(),
                self.acme_provider()
            );
        }
        if self.env_file().exists() {
            // Its own services hold the ports.
            return Ok(());
        }
        for (flag, addr) in self.ports() {
            if let Err(error) = TcpListener::bind(addr) {
                bail!("{addr} cannot be listened on ({error}): free it, or name another port with {flag}");
            }
        }
        Ok(())
    }

    /// The public ports, and the flags that name others.
    pub(super) fn ports(&self) -> Vec<(&'static str, SocketAddr)> {
        let mut ports = vec![
            ("--http-port", (self.listen(), self.http_port()).into()),
            ("--ssh-port", (self.listen(), self.ssh_port()).into()),
            ("--api-port", self.api()),
            ("--registry-port", self.registry()),
        ];
        if self.has_tls() {
            ports.push(("--https-port", (self.listen(), self.https_port()).into()));
        }
        if self.proxy() == Proxy::Traefik {
            ports.extend(self.inner_edge().map(|addr| ("--api-port", addr)));
        }
        ports
    }

    /// The lowest port of the proxy, which is no root.
    pub(super) fn lowest_port_of_proxy(&self) -> u16 {
        if self.has_tls() { self.http_port().min(self.https_port()) } else { self.http_port() }
    }
}

/// What a `.env` says.
struct Told<'a> {
    known: BTreeMap<&'a str, &'a str>,
    file: &'a Path,
}

impl Told<'_> {
    fn forget_defaults(&mut self) {
        for name in self.known.remove(DEFAULTS).unwrap_or_default().split(',') {
            self.known.remove(name);
        }
    }

    fn fill<T>(
        &self,
        setting: &mut Option<T>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<()> {
        let Some(text) = self.known.get(key).filter(|text| setting.is_none() && !text.is_empty()) else {
            return Ok(());
        };
        let wrong = |why: String| anyhow!("{}: {key}={text}: {why}", self.file.display());
        *setting = Some(parse(text).map_err(wrong)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{install::place, ports::Ports};

    fn settings(dir: &Path) -> Settings {
        let ports = Ports::free().unwrap();
        Settings {
            dir: dir.to_owned(),
            domain: None,
            tier: None,
            proxy: None,
            traefik_bin: None,
            acme_email: None,
            acme_provider: None,
            acme_ca: None,
            http_port: Some(ports.http().port()),
            https_port: None,
            ssh_port: Some(ports.ssh().port()),
            api_port: Some(ports.api().port()),
            registry_port: None,
            name: None,
            network: None,
            tag: None,
            firewall: Rules::default(),
        }
    }

    #[test]
    fn what_was_decided_stays_unless_a_flag_says_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".env"), "PAASTECH_DOMAIN=paas.example.org\nPAASTECH_SSH_PORT=22\n")
            .unwrap();
        let settings = settings(dir.path());
        let ssh_port = settings.ssh_port();
        let recalled = settings.recall().unwrap();
        assert_eq!((recalled.domain(), recalled.ssh_port()), ("paas.example.org", ssh_port));
        assert_eq!((recalled.tier(), recalled.proxy()), (Tier::Production, Proxy::Traefik));
        assert_eq!(recalled.api_url(), "https://api.paas.example.org");
    }

    #[test]
    fn a_default_that_was_written_is_no_decision() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = settings(dir.path());
        first.firewall.deny_cidrs = vec!["10.0.0.0/8".to_owned()];
        first.traefik_bin = Some("/opt/traefik".into());
        first.http_port = None;
        fs::write(first.env_file(), place::text(&place::variables(&first, 0, "0"))).unwrap();
        let mut later = Settings {
            domain: Some("paas.example.org".to_owned()),
            firewall: Rules::default(),
            traefik_bin: None,
            ssh_port: None,
            ..first.clone()
        };
        later = later.recall().unwrap();
        assert_eq!((later.tier(), later.proxy()), (Tier::Production, Proxy::Traefik));
        assert_eq!((later.http_port(), later.listen()), (80, Ipv4Addr::UNSPECIFIED.into()));
        assert_eq!(later.ssh_port(), first.ssh_port(), "this was decided");
        assert_eq!((later.firewall, later.traefik_bin), (first.firewall, first.traefik_bin));
    }

    #[test]
    fn a_malformed_value_is_named_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        for (line, why) in [
            ("PAASTECH_HTTPS_PORT=https", "PAASTECH_HTTPS_PORT=https: a port is"),
            ("PAASTECH_TIER=prod", "PAASTECH_TIER=prod: "),
            ("PAASTECH_DOMAIN=a..b", "PAASTECH_DOMAIN=a..b: lower-case"),
            ("PAASTECH_FIREWALL=10/8", "PAASTECH_FIREWALL=10/8: "),
        ] {
            fs::write(dir.path().join(".env"), line).unwrap();
            let error = settings(dir.path()).recall().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("/.env: "), "{error}");
        }
    }

    #[test]
    fn a_taken_port_is_named_with_its_flag() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        let _taken = TcpListener::bind(settings.api()).unwrap();
        let error = settings.check().unwrap_err().to_string();
        assert!(error.contains("--api-port") && error.contains(&settings.api().to_string()), "{error}");
    }

    #[test]
    fn a_domain_by_traefik_wants_an_address_and_credentials() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = settings(dir.path());
        settings.domain = Some("paas.example.org".to_owned());
        assert!(settings.check().unwrap_err().to_string().starts_with("--acme-email"));
        settings.acme_email = Some("root@example.org".to_owned());
        assert!(settings.check().unwrap_err().to_string().contains("PORKBUN_API_KEY"));
    }
}
