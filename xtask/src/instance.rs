//! A throw-away `paastechd`, for tests and measurements: free ports, and a data directory that goes with it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use tempfile::TempDir;

use crate::{
    account::{self, Account},
    daemon::Daemon,
    engine::Engine,
    layout::{Layout, Tier},
    leftovers,
    ports::Ports,
};

/// A running instance with its administrator.
pub(crate) struct Instance {
    /// Where it listens.
    pub(crate) ports: Ports,
    /// Its administrator, logged in.
    pub(crate) account: Account,
    /// Where its parts are.
    pub(crate) layout: Layout,
    /// Its process.
    pub(crate) daemon: Daemon,
    engine: Engine,
    _dir: TempDir,
}

impl Instance {
    /// Starts one within the directory `parent`.
    pub(crate) async fn start(parent: &Path, engine: Engine, binaries: PathBuf) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("d-").tempdir_in(parent)?;
        let layout = Layout::within(dir.path(), binaries);
        fs::create_dir_all(&layout.state)?;
        let ports = Ports::free()?;
        fs::write(layout.config(), layout.config_text(&engine, &ports, Tier::Test))?;
        let daemon = Daemon::start(&layout, Vec::new(), ports.api()).await?;
        match account::ensure(&layout, ports.api()).await {
            Ok(account) => Ok(Self { ports, account, layout, daemon, engine, _dir: dir }),
            Err(error) => {
                daemon.stop().await?;
                Err(error)
            }
        }
    }

    /// Stops it and removes all it had.
    pub(crate) async fn stop(self) -> Result<()> {
        let instance = self.layout.instance()?;
        self.daemon.stop().await?;
        if let Some(instance) = instance {
            let objects = leftovers::list(&self.engine, Some(&instance)).await?;
            leftovers::remove(&self.engine, objects).await?;
        }
        Ok(())
    }
}
