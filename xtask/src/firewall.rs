//! The nftables table `inet paastech`: keeps what runs in tenants' containers off this host, off link-local
//! addresses (cloud metadata) and off other containers. Static, loaded whole; no chain of the engine is touched.

use std::{
    fmt::{self, Write},
    fs,
    path::Path,
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;

use crate::{
    apt,
    engine::Engine,
    leftovers::{self, Object},
    process,
    progress::Step,
    systemd,
};

/// The bridges of apps; BuildKit's `RUN` is on `docker0`.
const APPS: &str = "\"pt-*\"";
const BUILDS: &str = "\"docker0\"";

/// The rules, for the host's next start, and the unit of systemd that loads them.
const KEPT: &str = "/etc/paastech/firewall.nft";
const UNIT: &str = "paastech-firewall.service";
const WANTED_BY: Option<&str> = Some("multi-user.target");
const UNIT_TEXT: &str = "[Unit]
Description=Keep PaaSTech's apps off this host
Before=docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f /etc/paastech/firewall.nft

[Install]
WantedBy=multi-user.target
";

/// What an operator can choose.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct Rules {
    /// Leave the engine's default bridge docker0 as open to this host as it was (Dockerfile builds run there)
    #[arg(long)]
    pub(crate) open_docker0: bool,
    /// Addresses that apps and builds may not reach, such as 10.0.0.0/8; may be repeated
    #[arg(long = "deny-cidr", value_name = "CIDR", value_parser = cidr)]
    pub(crate) deny_cidrs: Vec<String>,
}

impl Rules {
    /// Reads what [`fmt::Display`] writes: networks, and `docker0` where that is left open.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Self::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            match word {
                "docker0" => rules.open_docker0 = true,
                _ => rules.deny_cidrs.push(cidr(word)?),
            }
        }
        Ok(rules)
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.open_docker0.then_some("docker0");
        let words: Vec<&str> = open.into_iter().chain(self.deny_cidrs.iter().map(String::as_str)).collect();
        f.write_str(&words.join(","))
    }
}

/// Replaces the table, atomically.
pub(crate) async fn load(rules: &Rules) -> Result<()> {
    apt::ensure(&["nftables"], "keeping apps off this host").await?;
    let step = Step::new("host isolation (nftables table inet paastech)");
    nft(&table(rules)).await?;
    step.done(if rules.open_docker0 {
        "loaded, docker0 left open"
    } else {
        "loaded, for docker0 as well: --open-docker0 leaves that open"
    });
    Ok(())
}

/// Has the host load the rules at each start, before the engine starts what it ran.
pub(crate) fn keep(rules: &Rules) -> Result<()> {
    let folder = Path::new(KEPT).parent().expect("a file is in a folder");
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(KEPT, table(rules)).context(KEPT)?;
    systemd::keep(UNIT, UNIT_TEXT, WANTED_BY)
}

/// Takes the table away when no installation on this machine has an app, or may come to have one.
pub(crate) async fn unload_after_the_last_app(engine: &Engine) -> Result<()> {
    let has_apps = leftovers::list(engine, None).await?.iter().any(Object::is_container);
    if has_apps || leftovers::is_any_installed(engine).await? {
        return Ok(());
    }
    systemd::forget(UNIT, WANTED_BY);
    // Where nothing was kept there is nothing to forget.
    drop(fs::remove_file(KEPT));
    unload().await
}

/// Takes the table away, if it is there.
async fn unload() -> Result<()> {
    if !process::exists("nft") {
        return Ok(());
    }
    let step = Step::new("removing the nftables table inet paastech");
    // Named first, so that there is something to delete.
    nft("add table inet paastech\ndelete table inet paastech\n").await?;
    step.done("");
    Ok(())
}

/// Has nft do all of it, or nothing. A signal does not end it: what cleans up calls too.
async fn nft(script: &str) -> Result<()> {
    let mut child = process::argv(["nft", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start nft")?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(script.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!("nft refused the rules: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// The table as text. New connections only: what the host itself began is answered.
fn table(rules: &Rules) -> String {
    let mut sources = vec![APPS];
    if !rules.open_docker0 {
        sources.push(BUILDS);
    }
    let (v6, v4): (Vec<&str>, Vec<&str>) =
        rules.deny_cidrs.iter().map(String::as_str).partition(|cidr| cidr.contains(':'));
    let mut input = String::new();
    let mut forward = String::new();
    for source in sources {
        line(&mut input, &format!("iifname {source} ct state new counter drop"));
        line(&mut forward, &format!("iifname {source} ct state new jump denied"));
    }
    let mut denied = String::new();
    for bridge in [APPS, BUILDS, "\"br-*\"", "\"docker_gwbridge\""] {
        line(&mut denied, &format!("oifname {bridge} counter drop"));
    }
    for (family, own, more) in [("ip", "169.254.0.0/16", v4), ("ip6", "fe80::/10", v6)] {
        for cidr in std::iter::once(own).chain(more) {
            line(&mut denied, &format!("{family} daddr {cidr} counter drop"));
        }
    }
    // Named twice, so that a first load has something to delete.
    format!(
        "add table inet paastech\ndelete table inet paastech\ntable inet paastech {{\n  \
         chain denied {{\n{denied}  }}\n  \
         chain input {{\n    type filter hook input priority -10; policy accept;\n{input}  }}\n  \
         chain forward {{\n    type filter hook forward priority -10; policy accept;\n{forward}  }}\n}}\n"
    )
}

fn line(chain: &mut String, rule: &str) {
    writeln!(chain, "    {rule}").expect("a string takes all that is written to it");
}

/// An address with a prefix length, as nft reads it.
fn cidr(text: &str) -> Result<String, String> {
    let wrong = || format!("{text} is no network such as 10.0.0.0/8 or fd00::/8");
    let (address, length) = text.split_once('/').ok_or_else(wrong)?;
    let address: std::net::IpAddr = address.parse().map_err(|_| wrong())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length: u8 = length.parse().ok().filter(|length| *length <= longest).ok_or_else(wrong)?;
    Ok(format!("{address}/{length}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_and_builds_reach_neither_the_host_nor_link_local() {
        let text = table(&Rules::default());
        let (head, rest) = text.split_once("chain input").unwrap();
        let (input, forward) = rest.split_once("chain forward").unwrap();
        for source in [APPS, BUILDS] {
            assert!(input.contains(&format!("iifname {source} ct state new counter drop")), "{text}");
            assert!(forward.contains(&format!("iifname {source} ct state new jump denied")), "{text}");
        }
        assert!(head.contains("ip daddr 169.254.0.0/16") && head.contains("ip6 daddr fe80::/10"), "{text}");
    }

    #[test]
    fn the_operators_networks_are_denied_in_their_family() {
        let rules = Rules { open_docker0: true, deny_cidrs: vec!["10.0.0.0/8".into(), "fd00::/8".into()] };
        let text = table(&rules);
        assert!(
            text.contains("    ip daddr 10.0.0.0/8 ") && text.contains("    ip6 daddr fd00::/8 "),
            "{text}"
        );
        assert!(!text.contains("iifname \"docker0\""), "{text}");
    }

    #[test]
    fn rules_are_read_as_they_are_written() {
        let rules = Rules { open_docker0: true, deny_cidrs: vec!["10.0.0.0/8".into(), "fd00::/8".into()] };
        for rules in [rules, Rules::default()] {
            assert_eq!(Rules::parse(&rules.to_string()).unwrap(), rules);
        }
    }

    #[test]
    fn only_a_network_is_a_network() {
        assert_eq!(cidr("10.0.0.0/8").unwrap(), "10.0.0.0/8");
        for text in ["10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/8; flush ruleset"] {
            assert!(cidr(text).is_err(), "{text}");
        }
    }
}
