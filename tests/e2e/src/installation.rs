//! The services under docker-compose, as `cargo xtask install` has them.

use std::{
    ffi::OsString,
    fs, iter,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU8, Ordering},
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::Command;

use crate::{
    Setup, Shape, binaries,
    config::{self, Ports},
    engine::{Engine, Service},
    process,
};

/// Names the tag of the images under test.
const TAG: &str = "PAASTECH_TEST_TAG";
/// Names that of the images of the commit before.
const PREVIOUS_TAG: &str = "PAASTECH_TEST_PREVIOUS_TAG";
/// The next installation's networks.
static NETWORK: AtomicU8 = AtomicU8::new(100);

/// One that is there.
pub(crate) struct Installation {
    dir: PathBuf,
    home: PathBuf,
    /// What docker-compose calls it: nothing that a killed run has left is taken for its own.
    pub(crate) name: String,
    /// The first three numbers of its networks.
    network: String,
    shape: Shape,
}

impl Installation {
    /// One that is not there yet, and has a name already.
    pub(crate) async fn new(shape: Shape, home: &Path, engine: &Engine) -> Result<Self> {
        let taken = engine.subnets().await?;
        let is_free = |own: &String| !taken.iter().any(|subnet| subnet.starts_with(&format!("{own}.")));
        let numbers = iter::repeat_with(|| NETWORK.fetch_add(1, Ordering::Relaxed));
        let mut networks =
            numbers.take_while(|number| *number < u8::MAX).map(|number| format!("10.187.{number}"));
        let network = networks.find(is_free).context("no networks are free")?;
        let name = home.file_name().context("it has a name")?.to_string_lossy().to_lowercase();
        Ok(Self { dir: home.join("installation"), home: home.to_owned(), name, network, shape })
    }

    /// Installs it, beside whatever else there is.
    pub(crate) async fn install(&self, setup: Setup, ports: &Ports) -> Result<()> {
        fs::create_dir(&self.dir)?;
        fs::write(self.dir.join("settings.toml"), toml::to_string(&config::installation(setup.roomy))?)?;
        let mut xtask = if setup.previous {
            self.installer(&binaries::previous()?, tag(PREVIOUS_TAG))
        } else {
            self.installer(&binaries::directory()?, tag(TAG))
        };
        xtask.args(["--tier", "test", "--name", &self.name, "--network", &self.network]);
        for (flag, address) in [
            ("--http-port", ports.edge),
            ("--ssh-port", ports.ssh),
            ("--api-port", ports.api),
            ("--registry-port", ports.registry),
        ] {
            xtask.args([flag, &address.port().to_string()]);
        }
        if self.shape == Shape::Traefik {
            xtask.args(["--proxy", "traefik"]);
        }
        if let Err(error) = run(xtask).await {
            drop(self.uninstall().await);
            return Err(error);
        }
        Ok(())
    }

    /// Installs over what the commit before has installed.
    pub(crate) async fn upgrade(&self) -> Result<()> {
        run(self.installer(&binaries::directory()?, tag(TAG))).await
    }

    /// What installs these programs, with images of this tag.
    fn installer(&self, binaries: &Path, tag: OsString) -> Command {
        let mut xtask = self.xtask(binaries, "install");
        xtask.arg("--prepared").arg("--binaries").arg(binaries).arg("--tag").arg(tag);
        if let Some(traefik) = std::env::var_os("TRAEFIK_BIN") {
            xtask.arg("--traefik-bin").arg(traefik);
        }
        xtask
    }

    fn xtask(&self, binaries: &Path, task: &str) -> Command {
        let mut xtask = process::command(binaries.join("xtask"), &self.home);
        xtask.arg(task).arg("--dir").arg(&self.dir);
        xtask
    }

    /// The folder of its settings.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// docker-compose on it.
    pub(crate) fn compose(&self) -> Command {
        self.compose_with(&self.dir.join(".env"))
    }

    /// docker-compose with these variables.
    pub(crate) fn compose_with(&self, variables: &Path) -> Command {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/compose/docker-compose.yml");
        let mut compose = process::command("docker-compose", &self.home);
        compose.arg("--env-file").arg(variables).arg("--file").arg(file);
        compose
    }

    /// What a program says within a service's container.
    pub(crate) async fn exec(&self, service: &str, words: &[&str]) -> Result<String> {
        let mut compose = self.compose();
        compose.args(["exec", "-T", service]).args(words);
        let output = compose.output().await?;
        ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What docker-compose calls the program of this name.
    pub(crate) fn service<'a>(&self, program: &'a str) -> &'a str {
        match program {
            "paastech-edge" if self.shape == Shape::Traefik => "traefik",
            _ => program.strip_prefix("paastech-").unwrap_or(program),
        }
    }

    /// Fails when a service has ended by itself, or is not well.
    pub(crate) async fn check(&self, engine: &Engine, killed: &[String]) -> Result<()> {
        for Service { name, state, is_ill, .. } in engine.services(&self.name).await? {
            ensure!(
                killed.contains(&name) || state == "running" && !is_ill,
                "{name}: {state}, ill: {is_ill}"
            );
        }
        Ok(())
    }

    /// Starts what is down.
    pub(crate) async fn up(&self) -> Result<()> {
        let mut up = self.compose();
        up.args(["up", "--detach"]);
        run(up).await
    }

    /// Takes it down; `--timeout 0` waits for nothing that is under way.
    pub(crate) async fn down(&self, options: &[&str]) -> Result<()> {
        let mut down = self.compose();
        down.arg("down").args(options);
        run(down).await
    }

    /// The last lines of every service's log, or all of them.
    pub(crate) async fn logs(&self, tail: &str) -> String {
        let mut compose = self.compose();
        compose.args(["logs", "--no-color", "--tail", tail]);
        let output = compose.output().await;
        output.map_or_else(
            |error| error.to_string(),
            |output| String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    }

    /// Removes it and all it had.
    pub(crate) async fn uninstall(&self) -> Result<()> {
        let mut xtask = self.xtask(&binaries::directory()?, "uninstall");
        xtask.arg("--data");
        run(xtask).await
    }
}

/// The tag of this name, said by who runs the tests and removes the images.
fn tag(name: &str) -> OsString {
    std::env::var_os(name).unwrap_or_else(|| "test".into())
}

async fn run(mut command: Command) -> Result<()> {
    let output = command.output().await?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        bail!("{:?}: {}", command.as_std().get_args().collect::<Vec<_>>(), String::from_utf8_lossy(&text));
    }
    Ok(())
}
