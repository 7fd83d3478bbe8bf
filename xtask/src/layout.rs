//! Where an installation's parts lie, and the configuration that says so to the daemon.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::process::geteuid;

use crate::{engine::Engine, indexes, paths, ports::Ports};

/// How strict the limits on callers are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tier {
    /// As delivered, but for log-ins: each `up` is one.
    Development,
    /// None that a test could reach: they have tests of their own.
    Test,
}

impl Tier {
    fn limits(self) -> &'static str {
        match self {
            Self::Development => "login = { burst = 100, seconds = 60 }\n",
            Self::Test => {
                "login = { burst = 1000000, seconds = 1 }\nlogin_address = { burst = 1000000, seconds = 1 }\n\
                 register = { burst = 1000000, seconds = 1 }\nanonymous = { burst = 1000000, seconds = 1 }\n\
                 account = { burst = 1000000, seconds = 1 }\ndeploy = { burst = 1000000, seconds = 1 }\n"
            }
        }
    }
}

/// Where an installation's parts lie.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// The daemon's own data directory.
    pub(crate) data: PathBuf,
    /// Ours: configuration, log, the demo account and its key. The daemon can write nothing here.
    pub(crate) state: PathBuf,
    /// The binaries that run.
    pub(crate) lib: PathBuf,
}

impl Layout {
    /// A throw-away installation within `dir`, run from where its binaries were built.
    pub(crate) fn within(dir: &Path, binaries: PathBuf) -> Self {
        Self { data: dir.join("data"), state: dir.join("state"), lib: binaries }
    }

    /// The layout for this user: the system's places for root, the user's own for others.
    pub(crate) fn new(data: Option<PathBuf>) -> Result<Self> {
        let root = geteuid().is_root();
        let data = match data {
            Some(data) => std::path::absolute(data)?,
            None if root => PathBuf::from("/var/lib/paastech"),
            None => paths::user_data()?,
        };
        let name = data.file_name().context("the data directory needs a name")?.to_string_lossy();
        let state = data.with_file_name(format!("{name}-up"));
        let lib = if root { PathBuf::from("/usr/local/lib/paastech") } else { state.join("bin") };
        Ok(Self { data, state, lib })
    }

    /// The daemon's configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.state.join("paastechd.toml")
    }

    /// Where the daemon's output goes.
    pub(crate) fn log(&self) -> PathBuf {
        self.state.join("paastechd.log")
    }

    /// The process id of the daemon that `up` started last.
    pub(crate) fn pid_file(&self) -> PathBuf {
        self.state.join("paastechd.pid")
    }

    /// The demo account.
    pub(crate) fn account_file(&self) -> PathBuf {
        self.state.join("account.json")
    }

    /// The daemon's binary.
    pub(crate) fn daemon(&self) -> PathBuf {
        self.lib.join("paastechd")
    }

    /// The command line client.
    pub(crate) fn cli(&self) -> PathBuf {
        self.lib.join("paastech")
    }

    /// The installation's id, once it has run.
    pub(crate) fn instance(&self) -> Result<Option<String>> {
        match fs::read_to_string(self.data.join("secrets").join("instance")) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The daemon's configuration: a development installation that anybody on this machine may sign up
    /// and push to.
    pub(crate) fn config_text(&self, engine: &Engine, ports: &Ports, tier: Tier) -> String {
        let quoted = |path: &Path| toml::Value::from(path.to_string_lossy().into_owned());
        let (api, ssh, edge) = (ports.api(), ports.ssh(), ports.http());
        let indexes: toml::Table = indexes::of(|name| paths::env(name)?.into_string().ok())
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        format!(
            "# Written by `cargo xtask`: a development installation, on loopback only.\n\
             data_dir = {data}\ndomain = \"localhost\"\n\n\
             [api]\nlisten = \"{api}\"\nsign_up = \"open\"\n\n\
             [api.builds]\ndockerfile = \"all\"\n\n\
             [api.git]\nhost = \"{host}\"\nport = {port}\n\n\
             [api.limits]\n{limits}\n\
             [ssh]\nlisten = \"{ssh}\"\n\n\
             [edge]\nlisten = \"{edge}\"\nsocket = {socket}\n\n\
             [pomegranate]\nsocket = {socket}\n\n\
             [pomegranate.build.buildpacks.env]\n{indexes}",
            limits = tier.limits(),
            data = quoted(&self.data),
            host = ssh.ip(),
            port = ssh.port(),
            socket = quoted(&engine.socket),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_toml_that_says_where_things_are() {
        let layout = Layout { data: "/a \"b".into(), state: "/s".into(), lib: "/l".into() };
        let engine = Engine { socket: "/e.sock".into(), version: String::new(), api: String::new() };
        let text = layout.config_text(&engine, &Ports::free().unwrap(), Tier::Test);
        let parsed: toml::Table = text.parse().unwrap();
        assert_eq!(parsed["data_dir"].as_str(), Some("/a \"b"));
        assert_eq!(parsed["pomegranate"]["socket"].as_str(), Some("/e.sock"));
        let builds = &parsed["api"]["builds"];
        assert_eq!(builds["dockerfile"].as_str(), Some("all"), "who may sign up may push a Dockerfile");
    }
}
