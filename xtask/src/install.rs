//! `cargo xtask install`: the separate services on this host, under docker-compose.

pub(crate) mod images;
mod inputs;
pub(crate) mod place;
mod renewal;
mod report;
mod settings;
mod values;

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rustix::process::geteuid;
use serde::Deserialize;
use tokio::{
    io::AsyncWriteExt as _,
    process::Command,
    time::{Instant, sleep},
};

use self::{settings::Settings, values::Proxy};
use crate::{
    apt, base_image, build_memory, builder,
    engine::{self, Engine},
    firewall,
    http::Server,
    interrupt, leftovers, paths, process,
    progress::Step,
    test, up,
};

/// Where the system keeps what the kernel is told at each start.
const SYSCTL: &str = "/etc/sysctl.d/60-paastech.conf";
/// The folder of the command line client, in the installation's.
const CLI: &str = "bin";
const LOW_PORTS: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
const READY_PATIENCE: Duration = Duration::from_secs(180);
const EXAMPLES: &str = "Examples:\n  \
    cargo xtask install            # on *.localhost, over plain HTTP\n  \
    cargo xtask install --domain paas.example.org --acme-email root@example.org\n  \
    cargo xtask install --check    # what this host has; changes nothing\n  \
    cargo xtask install --test     # beside whatever runs: every scenario against it, then nothing is left\n  \
    cargo xtask uninstall          # stops all of it; --data removes what it knows";

/// How to install.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    #[command(flatten)]
    settings: Settings,
    /// Say what this host has and lacks, and change nothing
    #[arg(long)]
    check: bool,
    /// Try it: install beside whatever runs, run the end-to-end scenarios, remove it
    #[arg(long)]
    test: bool,
    /// Build without optimisations: quicker to build
    #[arg(long)]
    debug: bool,
    /// Programs that are built already
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// The host has the base image and the builder, and its rules are somebody else's: for tests
    #[arg(long, hide = true)]
    prepared: bool,
}

/// Which images.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cargo xtask images --tag v0.1.0")]
pub(crate) struct ImageOptions {
    /// What their names end with
    #[arg(long)]
    tag: String,
}

/// Makes them, optimised, and starts nothing.
pub(crate) async fn images(options: ImageOptions) -> Result<()> {
    let engine = engine::ensure().await?;
    base_image::ensure(&engine).await?;
    let binaries = up::build(&images::PACKAGES, true).await?;
    images::ensure(&engine, &binaries, &options.tag).await?;
    images::sweep(&engine).await
}

/// What to remove.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cargo xtask uninstall --data --images")]
pub(crate) struct UninstallOptions {
    /// The folder that `install` was given
    #[arg(long, value_name = "DIR", default_value = settings::DIR)]
    dir: PathBuf,
    /// Remove the database, the repositories, the apps and the secrets too
    #[arg(long)]
    data: bool,
    /// Remove the services' images too, but for those that another installation runs
    #[arg(long)]
    images: bool,
}

/// Installs, or brings what is installed up to date.
pub(crate) async fn run(options: Options) -> Result<()> {
    let settings = options.settings.recall()?;
    if options.check {
        return report::print(&settings).await;
    }
    ensure!(geteuid().is_root(), "installing needs root: `sudo cargo xtask install`");
    if options.test {
        return test::compose_alone().await;
    }
    settings.check()?;
    let engine = engine::ensure().await?;
    ensure_compose().await?;
    if !options.prepared {
        base_image::ensure(&engine).await?;
        builder::ensure(&engine).await?;
        firewall::load(&settings.firewall).await?;
        firewall::keep(&settings.firewall)?;
    }
    let binaries = match options.binaries {
        Some(binaries) => binaries,
        None => {
            build_memory::bound();
            up::build(&images::PACKAGES, !options.debug).await?
        }
    };
    allow_low_ports(&settings)?;
    images::ensure(&engine, &binaries, settings.tag()).await?;
    ensure_traefik(&engine, &settings).await?;
    let step = Step::new(format!("settings, secrets and certificates in {}", settings.dir.display()));
    let instance = place::write(&settings, &engine)?;
    step.done("");
    ensure_database(&settings).await?;
    start(&settings, &engine).await?;
    if !options.prepared {
        images::sweep(&engine).await?;
        renewal::keep(&settings).await?;
    }
    let cli =
        if options.prepared { None } else { Some(up::install_cli(&binaries, &settings.dir.join(CLI))?) };
    summary(&settings, &instance, cli.as_deref()).await
}

/// The proxy is no root and has no capability: the host lets everybody listen from 80 on.
fn allow_low_ports(settings: &Settings) -> Result<()> {
    let low = settings.lowest_port_of_proxy();
    let now: u16 = std::fs::read_to_string(LOW_PORTS)?.trim().parse()?;
    if low >= now {
        return Ok(());
    }
    std::fs::write(
        SYSCTL,
        format!("# PaaSTech's proxy is no root.\nnet.ipv4.ip_unprivileged_port_start = {low}\n"),
    )
    .with_context(|| format!("cannot write {SYSCTL}"))?;
    std::fs::write(LOW_PORTS, low.to_string()).with_context(|| format!("cannot write {LOW_PORTS}"))
}

/// Traefik's image, where Traefik serves: made from the given program, or the public one.
async fn ensure_traefik(engine: &Engine, settings: &Settings) -> Result<()> {
    if settings.proxy() != Proxy::Traefik {
        return Ok(());
    }
    if let Some(program) = &settings.traefik_bin {
        return images::traefik(engine, program, settings.tag()).await;
    }
    let step = Step::new(format!("image {}", place::TRAEFIK));
    if base_image::pull(engine, place::TRAEFIK).await? {
        step.done("");
        return Ok(());
    }
    bail!(
        "{} cannot be pulled: name a Traefik program with --traefik-bin, or take our own proxy with --proxy edge and \
         something in front of it that ends TLS",
        place::TRAEFIK
    )
}

/// Stops and removes the services; what they know stays unless it is to go.
pub(crate) async fn uninstall(options: UninstallOptions) -> Result<()> {
    ensure!(geteuid().is_root(), "uninstalling needs root: `sudo cargo xtask uninstall`");
    let engine = engine::find().await?;
    let tag = place::tag(&options.dir)?;
    remove(&engine, &options.dir, options.data).await?;
    if options.images {
        images::remove(&engine, &tag).await?;
    }
    if options.data {
        if !leftovers::is_any_installed(&engine).await? {
            drop(std::fs::remove_file(SYSCTL));
        }
        firewall::unload_after_the_last_app(&engine).await
    } else {
        eprintln!("The data stays, and apps keep running; `cargo xtask uninstall --data` removes both.");
        Ok(())
    }
}

async fn remove(engine: &Engine, dir: &Path, data: bool) -> Result<()> {
    let instance = place::instance(dir)?;
    renewal::forget(&place::name(dir)?);
    let mut down = compose(dir);
    down.args(["down", "--remove-orphans"]);
    if data {
        down.arg("--volumes");
    }
    ensure!(process::status(&mut down).await?.success(), "docker-compose could not remove the services");
    if data {
        let mut objects = leftovers::list(engine, Some(&instance)).await?;
        objects.extend(leftovers::of_registry(engine, &place::registry(dir)?).await?);
        leftovers::remove(engine, objects).await?;
        up::unlink_cli(&dir.join(CLI))?;
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
    let password = place::database_password(&settings.dir)?;
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

/// Starts what does not run in its present form, and waits until all of it is healthy.
async fn start(settings: &Settings, engine: &Engine) -> Result<()> {
    eprintln!("… docker-compose up");
    let mut up = compose(&settings.dir);
    up.args(["up", "--detach", "--remove-orphans"]);
    ensure!(
        process::status(&mut up).await?.success(),
        "docker-compose could not start the services: see above"
    );
    let step = Step::new("waiting until all of it serves");
    let deadline = Instant::now() + READY_PATIENCE;
    loop {
        interrupt::check()?;
        let ill = ill(engine, settings.name()).await?;
        let ready = Server::Tcp(settings.api()).get("/readyz").await;
        if ill.is_empty() && ready.is_ok_and(|answer| answer.status.is_success()) {
            step.done("");
            return Ok(());
        }
        if Instant::now() > deadline {
            let ill = if ill.is_empty() { "api".to_owned() } else { ill.join(" ") };
            bail!(
                "not ready after {} s: `{} logs {ill}` says why",
                READY_PATIENCE.as_secs(),
                words(settings)
            );
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// The services that are not healthy.
async fn ill(engine: &Engine, name: &str) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Container {
        labels: BTreeMap<String, String>,
        status: String,
    }
    let filters = leftovers::filters([("label", &[&format!("com.docker.compose.project={name}")])]);
    let found: Vec<Container> = engine.get(&format!("/containers/json?all=true&{filters}")).await?.json()?;
    Ok(found
        .into_iter()
        .filter(|container| !container.status.ends_with("(healthy)"))
        .filter_map(|mut container| container.labels.remove("com.docker.compose.service"))
        .collect())
}

/// What one types for docker-compose on this installation.
fn words(settings: &Settings) -> String {
    format!(
        "docker-compose --env-file {} --file deploy/compose/docker-compose.yml",
        settings.env_file().display()
    )
}

async fn summary(settings: &Settings, instance: &str, cli: Option<&str>) -> Result<()> {
    let (scheme, port) = settings.outside();
    let url = settings.api_url();
    println!(
        "\nPaaSTech is installed ({instance}).\n\n  \
         API     {url}  (docs at {url}/docs; on this host also http://{api})\n  \
         SSH     ssh://git@{ssh}:{ssh_port}\n  \
         apps    {scheme}://<project>.user-app.{domain}:{port}\n",
        api = settings.api(),
        ssh = settings.ssh_host(),
        ssh_port = settings.ssh_port(),
        domain = settings.domain(),
    );
    let mut read = compose(&settings.dir);
    read.args(["exec", "-T", "api", "cat", "/var/lib/paastech/api/setup-token"]);
    let token = process::output(&mut read).await?;
    // Once there is an administrator there is none.
    if !token.status.success() {
        return Ok(());
    }
    let cli = cli.unwrap_or("paastech");
    if io::stdout().is_terminal() {
        let token = String::from_utf8_lossy(&token.stdout);
        println!(
            "The first administrator, from any machine that reaches the API:\n\n  {cli} signup {url} --setup {}",
            token.trim()
        );
    } else {
        println!(
            "The first administrator's one-time token:\n\n  {} exec -T api cat /var/lib/paastech/api/setup-token\n\n\
             and with it, from any machine that reaches the API:\n\n  {cli} signup {url} --setup <token>",
            words(settings),
        );
    }
    Ok(())
}
