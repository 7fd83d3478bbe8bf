//! What the parts share, made when first asked for: a temporary directory of their own, a PostgreSQL, the binaries.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path, rc::Rc};

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    apt,
    engine::{self, Engine},
    instance::Instance,
    leftovers,
    postgres::Postgres,
    process,
    test::{
        leftovers::processes,
        programs::{Programs, TestProgram},
    },
};

/// What tests start, and Debian's package of each.
const STARTED: [(&str, &str); 5] = [
    ("git", "git"),
    ("ssh", "openssh-client"),
    ("curl", "curl"),
    ("faketime", "faketime"),
    ("docker-registry", "docker-registry"),
];

/// One run of the tests.
pub(crate) struct Suite {
    temporary: TempDir,
    /// Our own processes before anything ran.
    pub(crate) processes_before: BTreeSet<String>,
    /// The installations that had objects in the engine before we used it; `None` while we have not.
    pub(crate) installations_before: Option<BTreeSet<String>>,
    postgres: Option<Postgres>,
    programs: Option<Rc<Programs>>,
    /// Whether the tests were found not to compile: no part can do without them.
    pub(crate) broken: bool,
}

impl Suite {
    /// Looks at what is there, so that what is new at the end is a leftover.
    pub(crate) fn new() -> Result<Self> {
        // The system's own directory, for short paths: a Unix socket's has 107 bytes.
        let temporary = tempfile::Builder::new().prefix("pt-test-").tempdir()?;
        fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o1777))?;
        Ok(Self {
            processes_before: processes(temporary.path())?,
            temporary,
            installations_before: None,
            postgres: None,
            programs: None,
            broken: false,
        })
    }

    /// The temporary directory of everything this run starts; empty at the end, or something was left.
    pub(crate) fn temporary(&self) -> &Path {
        self.temporary.path()
    }

    /// A program of tests, ready to run as cargo would, its files where leftovers show.
    pub(crate) fn command(&self, test: &TestProgram) -> Command {
        let mut command = process::command(&test.executable);
        command
            .current_dir(&test.dir)
            .env("CARGO_MANIFEST_DIR", &test.dir)
            .env("TMPDIR", self.temporary.path());
        command.env_remove("PAASTECH_TEST_POSTGRES");
        command
    }

    /// The throw-away PostgreSQL.
    pub(crate) async fn postgres(&mut self) -> Result<&Postgres> {
        if self.postgres.is_none() {
            self.postgres = Some(Postgres::start(self.temporary.path()).await?);
        }
        self.postgres.as_ref().context("it was started")
    }

    /// An engine with the images that builds need; every use of it is through here, so that what was there before is known.
    pub(crate) async fn engine(&mut self) -> Result<Engine> {
        let engine = engine::ensure().await?;
        if self.installations_before.is_none() {
            self.installations_before = Some(leftovers::installations(&engine).await?);
        }
        crate::builder::ensure(&engine).await?;
        Ok(engine)
    }

    /// The workspace's programs of tests, and its binaries; what they start is there.
    pub(crate) async fn programs(&mut self) -> Result<Rc<Programs>> {
        if let Some(programs) = &self.programs {
            return Ok(Rc::clone(programs));
        }
        let missing: Vec<&str> =
            STARTED.iter().filter(|one| !process::exists(one.0)).map(|one| one.1).collect();
        if missing.contains(&"docker-registry") {
            apt::mask_service("docker-registry")?;
        }
        apt::ensure(&missing, "running the tests").await?;
        let compiled = Programs::compile().await;
        self.broken = compiled.is_err();
        let programs = Rc::new(compiled?);
        self.programs = Some(Rc::clone(&programs));
        Ok(programs)
    }

    /// A running `paastechd` of the tests' own.
    pub(crate) async fn instance(&mut self) -> Result<Instance> {
        let (engine, binaries) = (self.engine().await?, self.programs().await?.binaries.clone());
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
