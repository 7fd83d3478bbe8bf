//! The three ports: all on loopback, each one's flag named when it is taken.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Result, bail};
use clap::Args;

/// Where PaaSTech listens.
#[derive(Debug, Clone, Args)]
pub(crate) struct Ports {
    /// The port of the HTTP API
    #[arg(long, value_name = "PORT", default_value_t = 7080)]
    api_port: u16,
    /// The port of git over SSH
    #[arg(long, value_name = "PORT", default_value_t = 2222)]
    ssh_port: u16,
    /// The port of apps
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    http_port: u16,
}

impl Ports {
    /// Three that are free now.
    pub(crate) fn free() -> Result<Self> {
        // Held together, so that no two are the same.
        let listeners = [(); 3].map(|()| TcpListener::bind(loopback(0)));
        let [api, ssh, http] = listeners.map(|listener| listener?.local_addr().map(|address| address.port()));
        Ok(Self { api_port: api?, ssh_port: ssh?, http_port: http? })
    }

    /// The address of the HTTP API.
    pub(crate) fn api(&self) -> SocketAddr {
        loopback(self.api_port)
    }

    /// The address of git over SSH.
    pub(crate) fn ssh(&self) -> SocketAddr {
        loopback(self.ssh_port)
    }

    /// The address of apps.
    pub(crate) fn http(&self) -> SocketAddr {
        loopback(self.http_port)
    }

    /// An error that says which flag to use when one of them is taken.
    pub(crate) fn ensure_free(&self) -> Result<()> {
        let all = [("--api-port", self.api()), ("--ssh-port", self.ssh()), ("--http-port", self.http())];
        for (flag, address) in all {
            if let Err(error) = TcpListener::bind(address) {
                let other = address.port().saturating_add(1);
                bail!("cannot listen on {address} ({error}): choose another port, such as `{flag} {other}`");
            }
        }
        Ok(())
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_its_flag() {
        let taken = TcpListener::bind(loopback(0)).unwrap();
        let http_port = taken.local_addr().unwrap().port();
        let ports = Ports { api_port: 0, ssh_port: 0, http_port };
        let error = ports.ensure_free().unwrap_err().to_string();
        assert!(error.contains("--http-port") && error.contains(&http_port.to_string()), "{error}");
    }
}
