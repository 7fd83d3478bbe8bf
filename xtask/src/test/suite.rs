//! What the parts share, made when first asked for: a temporary directory of their own, a PostgreSQL, the binaries.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    engine::{self, Engine},
    instance::Instance,
    leftovers, paths,
    postgres::Postgres,
    test::{leftovers::processes, lints::cargo},
};

/// One run of the tests.
pub(crate) struct Suite {
    temporary: TempDir,
    /// The installations that had objects in the engine, and our own processes, before anything ran.
    pub(crate) instances_before: BTreeSet<String>,
    /// See `instances_before`.
    pub(crate) processes_before: BTreeSet<String>,
    postgres: Option<Postgres>,
    binaries: Option<PathBuf>,
}

impl Suite {
    /// Looks at what is there, so that what is new at the end is a leftover.
    pub(crate) async fn new() -> Result<Self> {
        // The system's own directory, for short paths: a Unix socket's has 107 bytes.
        let temporary = tempfile::Builder::new().prefix("pt-test-").tempdir()?;
        fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o1777))?;
        let instances_before = match engine::find().await {
            Ok(engine) => leftovers::instances(&engine).await?,
            Err(_) => BTreeSet::new(),
        };
        Ok(Self {
            temporary,
            instances_before,
            processes_before: processes()?,
            postgres: None,
            binaries: None,
        })
    }

    /// The temporary directory of everything this run starts; empty at the end, or something was left.
    pub(crate) fn temporary(&self) -> &Path {
        self.temporary.path()
    }

    /// A cargo in the checkout whose tests put their files where leftovers show.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = cargo();
        command.env("TMPDIR", self.temporary.path()).env_remove("PAASTECH_TEST_POSTGRES");
        command
    }

    /// The administrator's URL of the throw-away PostgreSQL.
    pub(crate) async fn postgres(&mut self) -> Result<String> {
        if self.postgres.is_none() {
            self.postgres = Some(Postgres::start(self.temporary.path()).await?);
        }
        Ok(self.postgres.as_ref().map(Postgres::url).unwrap_or_default())
    }

    /// An engine with the base image.
    pub(crate) async fn engine(&self) -> Result<Engine> {
        let engine = engine::ensure().await?;
        crate::base_image::ensure(&engine).await?;
        Ok(engine)
    }

    /// The directory with the built binaries.
    pub(crate) async fn binaries(&mut self) -> Result<PathBuf> {
        if let Some(binaries) = &self.binaries {
            return Ok(binaries.clone());
        }
        let mut build = cargo();
        build.args(["build", "--locked", "--workspace", "--exclude", "xtask", "--bins"]);
        if !crate::process::status(&mut build).await?.success() {
            bail!("the build failed: see above");
        }
        let binaries = paths::target().join("debug");
        self.binaries = Some(binaries.clone());
        Ok(binaries)
    }

    /// A running `paastechd` of the tests' own.
    pub(crate) async fn instance(&mut self) -> Result<Instance> {
        let (engine, binaries) = (self.engine().await?, self.binaries().await?);
        Instance::start(self.temporary(), engine, binaries).await
    }

    /// Ends what runs.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        match self.postgres.take() {
            Some(postgres) => postgres.stop().await,
            None => Ok(()),
        }
    }
}
