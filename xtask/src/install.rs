//! `cargo xtask install`: the separate services on this host, under docker-compose.

mod images;
mod settings;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rustix::process::geteuid;
use tokio::{
    io::AsyncWriteExt as _,
    process::Command,
    time::{Instant, sleep},
};

use self::settings::Settings;
use crate::{
    apt, base_image, build_memory, builder,
    engine::{self, Engine},
    firewall,
    http::Server,
    interrupt, leftovers, paths,
    ports::Ports,
    process,
    progress::Step,
    up,
};

/// The images are of this checkout; the engine tells them apart by what went into them.
const TAG: &str = "local";
const TEST_TAG: &str = "test";
const READY_PATIENCE: Duration = Duration::from_secs(180);
const EXAMPLES: &str = "Examples:\n  \
    cargo xtask install                            # on *.localhost, over plain HTTP\n  \
    cargo xtask install --domain paas.example.org  # apps at <project>.user-app.paas.example.org\n  \
    cargo xtask install --check                    # what this host has; changes nothing\n  \
    cargo xtask uninstall                          # stops all of it; --data removes what it knows";

/// How to install.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    #[command(flatten)]
    settings: Settings,
    /// Say what this host has and lacks, and change nothing
    #[arg(long)]
    check: bool,
    /// Build without optimisations: quicker to build
    #[arg(long)]
    debug: bool,
    #[command(flatten)]
    firewall: firewall::Rules,
}

/// What to remove.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cargo xtask uninstall --data")]
pub(crate) struct UninstallOptions {
    /// The folder that `install` was given
    #[arg(long, value_name = "DIR", default_value = settings::DIR)]
    dir: PathBuf,
    /// Remove the database, the repositories, the apps and the secrets too
    #[arg(long)]
    data: bool,
}

/// Installs, or brings what is installed up to date.
pub(crate) async fn run(options: Options) -> Result<()> {
    if options.check {
        return options.settings.report().await;
    }
    ensure!(geteuid().is_root(), "installing needs root: `sudo cargo xtask install`");
    options.settings.check()?;
    let engine = engine::ensure().await?;
    ensure_compose().await?;
    base_image::ensure(&engine).await?;
    builder::ensure(&engine).await?;
    firewall::load(&options.firewall).await?;
    build_memory::bound();
    let instance = bring_up(&engine, &options.settings, TAG, !options.debug).await?;
    summary(&options.settings, &instance);
    Ok(())
}

/// From the source to services that answer; returns the installation's id.
async fn bring_up(engine: &Engine, settings: &Settings, tag: &str, release: bool) -> Result<String> {
    let binaries = up::build(&images::PACKAGES, release).await?;
    images::ensure(engine, &binaries, tag).await?;
    let step = Step::new(format!("settings, secrets and certificates in {}", settings.dir.display()));
    let instance = settings.write(engine, tag)?;
    step.done("");
    ensure_database(settings).await?;
    start(settings).await?;
    Ok(instance)
}

/// An installation beside others, for a test.
pub(crate) struct ThrowAway {
    settings: Settings,
    engine: Engine,
}

impl ThrowAway {
    /// Brings one up in the folder, at these ports.
    pub(crate) async fn start(engine: Engine, dir: PathBuf, ports: &Ports) -> Result<Self> {
        ensure_compose().await?;
        let this = Self { settings: Settings::throw_away(dir, ports)?, engine };
        this.settings.check()?;
        match bring_up(&this.engine, &this.settings, TEST_TAG, false).await {
            Ok(_) => Ok(this),
            Err(error) => {
                this.stop().await?;
                Err(error)
            }
        }
    }

    /// A program's output within a service's container.
    pub(crate) async fn exec(&self, service: &str, words: &[&str]) -> Result<String> {
        process::stdout_only(compose(&self.settings.dir).args(["exec", "-T", service]).args(words)).await
    }

    /// Removes it and all it had.
    pub(crate) async fn stop(self) -> Result<()> {
        remove(&self.engine, &self.settings.dir, true).await?;
        images::remove(&self.engine, TEST_TAG).await
    }
}

/// Stops and removes the services; what they know stays unless it is to go.
pub(crate) async fn uninstall(options: UninstallOptions) -> Result<()> {
    ensure!(geteuid().is_root(), "uninstalling needs root: `sudo cargo xtask uninstall`");
    let engine = engine::find().await?;
    remove(&engine, &options.dir, options.data).await?;
    if options.data {
        firewall::unload_after_the_last_app(&engine).await
    } else {
        eprintln!("The data stays, and apps keep running; `cargo xtask uninstall --data` removes both.");
        Ok(())
    }
}

async fn remove(engine: &Engine, dir: &Path, data: bool) -> Result<()> {
    let instance = settings::instance(dir)?;
    let mut down = compose(dir);
    down.args(["down", "--remove-orphans"]);
    if data {
        down.arg("--volumes");
    }
    ensure!(process::status(&mut down).await?.success(), "docker-compose could not remove the services");
    if data {
        let mut objects = leftovers::list(engine, Some(&instance)).await?;
        objects.extend(leftovers::of_registry(engine, &settings::registry(dir)?).await?);
        leftovers::remove(engine, objects).await?;
        std::fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    Ok(())
}

/// Debian's docker-compose, where there is none.
async fn ensure_compose() -> Result<()> {
    if process::exists("docker-compose") {
        return Ok(());
    }
    apt::ensure(&["docker-compose"], "starting the services").await
}

/// docker-compose on this installation.
fn compose(dir: &Path) -> Command {
    let mut command = process::argv(["docker-compose", "--env-file"]);
    command.arg(dir.join(".env")).arg("--file");
    command.arg(paths::workspace().join("deploy/compose/docker-compose.yml"));
    command
}

/// A cluster with the api's role and database in it, unless there is one.
async fn ensure_database(settings: &Settings) -> Result<()> {
    let step = Step::new("database");
    let in_container = |words: &[&str]| {
        let mut command = compose(&settings.dir);
        command.args(["run", "--rm", "--no-deps", "-T", "postgres"]).args(words);
        command
    };
    if process::stdout_only(&mut in_container(&["cat", "/data/paastech"])).await.is_ok() {
        step.skip("there is one");
        return Ok(());
    }
    step.note("initdb");
    let words = ["initdb", "--pgdata=/data", "--encoding=UTF8", "--auth-local=peer", "--auth-host=reject"];
    process::stdout(&mut in_container(&words)).await.context(
        "the database cannot be made; was an earlier attempt cut off? `cargo xtask uninstall --data` begins anew",
    )?;
    let password = settings.database_password()?;
    let mut single = in_container(&["postgres", "--single", "-j", "-D", "/data", "postgres"]);
    single.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let mut child = single.spawn().context("cannot start docker-compose")?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    let script = format!(
        "CREATE ROLE paastech LOGIN PASSWORD '{password}';\n\nCREATE DATABASE paastech OWNER paastech;\n\n"
    );
    stdin.write_all(script.as_bytes()).await?;
    drop(stdin);
    ensure!(child.wait().await?.success(), "the api's role and database could not be made");
    // Last: without it the next attempt knows that this one was cut off.
    process::stdout(&mut in_container(&["touch", "/data/paastech"])).await?;
    step.done("made");
    Ok(())
}

/// Starts what does not run in its present form, and waits until the api serves.
async fn start(settings: &Settings) -> Result<()> {
    eprintln!("… docker-compose up");
    let mut up = compose(&settings.dir);
    up.args(["up", "--detach", "--remove-orphans"]);
    ensure!(
        process::status(&mut up).await?.success(),
        "docker-compose could not start the services: see above"
    );
    let step = Step::new("waiting until all of it serves");
    let deadline = Instant::now() + READY_PATIENCE;
    while Instant::now() < deadline {
        interrupt::check()?;
        if Server::Tcp(settings.api()).get("/readyz").await.is_ok_and(|answer| answer.status.is_success()) {
            step.done("");
            return Ok(());
        }
        sleep(Duration::from_millis(500)).await;
    }
    bail!(
        "the api is not ready after {} s: `docker-compose --env-file {}/.env logs api` says why",
        READY_PATIENCE.as_secs(),
        settings.dir.display()
    )
}

fn summary(settings: &Settings, instance: &str) {
    let compose = format!("docker-compose --env-file {}/.env", settings.dir.display());
    println!(
        "\nPaaSTech is installed ({instance}).\n\n  \
         API     http://{api}  (docs at http://{api}/docs)\n  \
         SSH     ssh://git@{ssh}\n  \
         apps    http://<project>.user-app.{domain}:{http}\n\n\
         The first administrator's one-time token:\n\n  \
         {compose} --file deploy/compose/docker-compose.yml exec -T api cat /var/lib/paastech/api/setup-token\n\n\
         and with it, from any machine that reaches the API:\n\n  \
         paastech signup http://{api} --setup <token>",
        api = settings.api(),
        ssh = settings.ssh(),
        domain = settings.domain(),
        http = settings.http_port(),
    );
}
