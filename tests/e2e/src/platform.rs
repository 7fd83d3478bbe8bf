//! One running installation, from an empty directory to nothing left.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use paastech_runtime::{Peer, SecretFiles};
use serde_json::json;
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::{sync::Mutex, time::Instant};
use toml::Table;

use crate::{
    Api, Developer, Ended, Shape,
    api::PASSWORD,
    binaries,
    collector::Collector,
    config::{self, Ports},
    database::ThrowAwayDatabase,
    engine::Engine,
    firewall::Firewall,
    installation::Installation,
    process::{self, Process},
    push::capture,
    runner,
    web::Site,
};

const ENGINE_SOCKET: &str = "/var/run/docker.sock";
const ADMINISTRATOR: &str = "root@example.org";
const FAKETIME: &str = "faketime/libfaketimeMT.so.1";
/// The user of the database in its image.
const POSTGRES: u32 = 871;
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// For processes whose parents have ended.
const LEFT_PATIENCE: Duration = Duration::from_secs(10);

/// What is special about an installation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    /// The data lies on a disk of this size.
    pub(crate) disk_mib: u32,
    /// Below this much free space pushes are refused; 0 = as configured by default.
    pub(crate) min_free_mib: u32,
    /// The engine's socket is one that nobody answers on.
    pub(crate) dead_engine: bool,
    /// The rules that keep apps off this host are loaded.
    pub(crate) firewall: bool,
    /// Apps have the memory, and builds the time, that the samples need.
    pub(crate) roomy: bool,
    /// How far the api's clock is off.
    pub(crate) api_hours_off: i8,
    /// Traces are collected.
    pub(crate) traced: bool,
    /// The commit before this one has installed it.
    pub(crate) previous: bool,
}

impl Setup {
    /// Nothing.
    pub(crate) const PLAIN: Self = Self {
        disk_mib: 0,
        min_free_mib: 0,
        dead_engine: false,
        firewall: false,
        roomy: false,
        api_hours_off: 0,
        traced: false,
        previous: false,
    };
}

/// Where an installation is.
pub(crate) struct Place {
    pub(crate) ports: Ports,
    pub(crate) data: PathBuf,
    pub(crate) repositories: PathBuf,
    /// Where the host's root needs no log-in.
    pub(crate) admin_socket: PathBuf,
    pub(crate) setup_token: PathBuf,
    pub(crate) engine_socket: PathBuf,
    pub(crate) instance: String,
    /// The folder of the services' certificates.
    pub(crate) certificates: PathBuf,
    /// The database's small disk, on an installation under docker-compose.
    pub(crate) database: PathBuf,
    pub(crate) min_free_mib: u32,
    pub(crate) roomy: bool,
    pub(crate) api_hours_off: i8,
}

impl Place {
    /// The folder of the keys.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.data.join("secrets")
    }
}

/// One running installation.
pub(crate) struct Platform {
    pub(crate) shape: Shape,
    pub(crate) place: Place,
    pub(crate) engine: Engine,
    pub(crate) api: Api,
    pub(crate) firewall: Option<Firewall>,
    programs: Programs,
    pub(crate) collector: Option<Collector>,
    database: Option<ThrowAwayDatabase>,
    /// A small disk.
    mounted: Option<PathBuf>,
    dir: TempDir,
}

/// What runs.
enum Programs {
    /// Processes of ours.
    Processes(Mutex<Vec<Process>>),
    /// Containers; those that were killed and not started again are named.
    Installation(Installation, Mutex<Vec<String>>),
}

impl Platform {
    /// Starts one, and makes its administrator.
    pub(crate) async fn start(shape: Shape, setup: Setup) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("pt-e2e-").tempdir()?;
        let real = PathBuf::from(ENGINE_SOCKET);
        let engine = Engine::connect(&real).await?;
        let firewall = if setup.firewall { Some(Firewall::load(dir.path()).await?) } else { None };
        if shape.is_installed() {
            return Self::installed(shape, setup, dir, engine, firewall).await;
        }
        let data = dir.path().join("data");
        fs::create_dir(&data)?;
        let database = match shape {
            Shape::Services => Some(ThrowAwayDatabase::create().await?),
            _ => None,
        };
        let mounted = (setup.disk_mib > 0).then(|| data.clone());
        let collector = if setup.traced { Some(Collector::start().await?) } else { None };
        // Last of what may well fail: nothing below leaves it mounted.
        if mounted.is_some() {
            mount(dir.path(), &data, setup.disk_mib).await?;
        }
        let secrets = SecretFiles::ensure(data.join("secrets"))?;
        secrets.label_hmac()?;
        let instance = secrets.instance()?;
        paastech_certs::ensure(&data.join("certificates"), OffsetDateTime::now_utc(), false)?;
        let place = Place {
            ports: Ports::free()?,
            engine_socket: if setup.dead_engine { dir.path().join("no-engine.sock") } else { real },
            repositories: data.join("repositories"),
            admin_socket: data.join("admin.sock"),
            setup_token: data.join("setup-token"),
            certificates: data.join("certificates"),
            database: PathBuf::new(),
            data,
            instance,
            min_free_mib: setup.min_free_mib,
            roomy: setup.roomy,
            api_hours_off: setup.api_hours_off,
        };
        let mut platform = Self {
            shape,
            api: Api::new(place.ports.api)?,
            engine: engine.seen_by(&place.instance),
            place,
            firewall,
            collector,
            programs: Programs::Processes(Mutex::default()),
            database,
            mounted,
            dir,
        };
        let processes = platform.processes()?;
        platform.programs = Programs::Processes(Mutex::new(processes));
        platform.begun(setup).await
    }

    /// Installs one under docker-compose.
    async fn installed(
        shape: Shape,
        setup: Setup,
        dir: TempDir,
        engine: Engine,
        firewall: Option<Firewall>,
    ) -> Result<Self> {
        let ports = Ports::in_a_row()?;
        let installation = Installation::new(shape, dir.path(), &engine).await?;
        let mut mounted = None;
        if setup.disk_mib > 0 {
            let disk = engine.make_volume(&format!("{}_postgres", installation.name)).await?;
            mount(dir.path(), &disk, setup.disk_mib).await?;
            chown(&disk, Some(POSTGRES), Some(POSTGRES))?;
            mounted = Some(disk);
        }
        installation.install(setup, &ports).await?;
        let volume = async |name: &str| engine.volume(&format!("{}_{name}", installation.name)).await;
        let (data, repositories) = (volume("api").await?, volume("repositories").await?);
        let instance = fs::read_to_string(installation.dir().join("secrets/api/instance"))?;
        let place = Place {
            ports,
            repositories,
            admin_socket: data.join("admin.sock"),
            setup_token: data.join("setup-token"),
            data,
            engine_socket: ENGINE_SOCKET.into(),
            instance: instance.trim().to_owned(),
            certificates: installation.dir().join("certs"),
            database: mounted.clone().unwrap_or_default(),
            min_free_mib: 0,
            roomy: setup.roomy,
            api_hours_off: 0,
        };
        let platform = Self {
            shape,
            api: Api::new(place.ports.api)?,
            engine: engine.seen_by(&place.instance),
            place,
            firewall,
            collector: None,
            programs: Programs::Installation(installation, Mutex::default()),
            database: None,
            mounted,
            dir,
        };
        platform.begun(setup).await
    }

    async fn begun(self, setup: Setup) -> Result<Self> {
        match self.begin(setup).await {
            Ok(()) => Ok(self),
            Err(error) => {
                let logs = self.logs().await;
                drop(self.stop().await);
                Err(anyhow!("{error:#}\n{logs}"))
            }
        }
    }

    async fn begin(&self, setup: Setup) -> Result<()> {
        if let Programs::Processes(processes) = &self.programs {
            for process in processes.lock().await.iter_mut() {
                process.start()?;
            }
        }
        if setup.dead_engine {
            self.answering("/healthz").await?;
        } else {
            self.ready().await?;
        }
        let token = fs::read_to_string(&self.place.setup_token).context("the setup token")?;
        let body =
            json!({ "token": token.trim(), "email": ADMINISTRATOR, "name": "Root", "password": PASSWORD });
        let answer = self.api.post("/v1/setup", body).await;
        ensure!(answer.status == 201, "setup: {}: {}", answer.status, answer.body);
        Ok(())
    }

    /// The shape's programs, in no order that matters: each waits for the others.
    fn processes(&self) -> Result<Vec<Process>> {
        let place = &self.place;
        let service = |name: &'static str, section: &str, config: Table, flags: &[&str]| {
            let config = Table::from_iter([(section.to_owned(), self.watched(name, config).into())]);
            self.program(name, &config, flags)
        };
        let daemon = |config| self.program("paastechd", &self.watched("paastechd", config), &[]);
        match self.shape {
            Shape::Compose | Shape::Traefik => Ok(Vec::new()),
            Shape::Embedded => Ok(vec![daemon(config::daemon(place))?]),
            Shape::PomegranateOutside => Ok(vec![
                service("pomegranate", "pomegranate", config::pomegranate(place), &[])?,
                daemon(config::daemon_without_pomegranate(place))?,
            ]),
            Shape::Services => {
                let database = self.database.as_ref().map(ThrowAwayDatabase::url).unwrap_or_default();
                let key = place.secrets().join("label-hmac").to_string_lossy().into_owned();
                let control = place.ports.control_url();
                Ok(vec![
                    service("paastech-git-controller", "git_controller", config::git_controller(place), &[])?,
                    service("pomegranate", "pomegranate", config::pomegranate(place), &[])?,
                    service("paastech-edge", "edge", config::edge(place), &["--label-key", &key])?,
                    service("paastech-api", "api", config::api(place, &database), &[])?,
                    service("paastech-ssh-git-server", "ssh", config::ssh(place), &["--control", &control])?,
                ])
            }
        }
    }

    /// Makes the services' certificates anew, as at this time.
    pub(crate) fn certificates_as_of(&self, when: OffsetDateTime) {
        let dir = &self.place.certificates;
        let owner = fs::metadata(dir.join(Peer::Api.name())).expect("they are there");
        for made in paastech_certs::ensure(dir, when, true).expect("certificates can be made") {
            for entry in fs::read_dir(dir.join(made.service.name())).expect("it was made") {
                let path = entry.expect("an entry").path();
                chown(path, Some(owner.uid()), Some(owner.gid())).expect("root may");
            }
        }
    }

    /// The configuration, with where metrics are served and traces are sent.
    fn watched(&self, name: &str, mut config: Table) -> Table {
        config.insert("metrics".to_owned(), config::metrics(&self.place, name).into());
        if let Some(collector) = self.collector.as_ref().filter(|_| name != "paastech-edge") {
            let tracing = Table::from_iter([("otlp".to_owned(), collector.url().into())]);
            config.insert("tracing".to_owned(), tracing.into());
        }
        config
    }

    fn program(&self, name: &'static str, config: &Table, flags: &[&str]) -> Result<Process> {
        let file = self.dir.path().join(format!("{name}.toml"));
        fs::write(&file, toml::to_string(config)?)?;
        let mut arguments = vec!["--config".to_owned(), file.to_string_lossy().into_owned()];
        arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
        let process = Process::new(name, binaries::find(name)?, arguments, self.dir.path());
        match self.place.api_hours_off {
            hours if hours != 0 && name == "paastech-api" => Ok(process.with(clock_off_by(hours)?)),
            _ => Ok(process),
        }
    }

    /// Waits until the api says that it and its neighbours are ready.
    pub(crate) async fn ready(&self) -> Result<()> {
        self.answering("/readyz").await
    }

    async fn answering(&self, path: &str) -> Result<()> {
        let deadline = Instant::now() + READY_PATIENCE;
        loop {
            self.check().await?;
            let answer = self.api.try_call(reqwest::Method::GET, path, None).await;
            if answer.as_ref().is_ok_and(|answer| answer.status.is_success()) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{path} after {} s: {answer:?}", READY_PATIENCE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The programs' names.
    pub(crate) async fn programs_running(&self) -> Vec<&'static str> {
        match &self.programs {
            Programs::Processes(processes) => {
                processes.lock().await.iter().map(|process| process.name).collect()
            }
            Programs::Installation(..) => Vec::new(),
        }
    }

    /// Fails when a program has ended by itself.
    pub(crate) async fn check(&self) -> Result<()> {
        match &self.programs {
            Programs::Processes(processes) => processes.lock().await.iter_mut().try_for_each(Process::check),
            Programs::Installation(installation, killed) => {
                installation.check(&self.engine, &killed.lock().await).await
            }
        }
    }

    /// The last lines of every program's log.
    pub(crate) async fn logs(&self) -> String {
        match &self.programs {
            Programs::Processes(processes) => {
                processes.lock().await.iter().map(Process::tail).collect::<Vec<_>>().join("\n")
            }
            Programs::Installation(installation, _) => installation.logs("60").await,
        }
    }

    /// All that the programs have logged.
    pub(crate) async fn whole_log(&self) -> String {
        match &self.programs {
            Programs::Processes(processes) => processes.lock().await.iter().map(Process::log).collect(),
            Programs::Installation(installation, _) => installation.logs("all").await,
        }
    }

    /// The installation under docker-compose.
    pub(crate) fn installation(&self) -> &Installation {
        match &self.programs {
            Programs::Installation(installation, _) => installation,
            Programs::Processes(_) => panic!("a scenario of an installation under docker-compose"),
        }
    }

    /// A directory that goes with the installation.
    pub(crate) fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// A command that runs in an installation's own directory.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> tokio::process::Command {
        process::command(program, self.dir.path())
    }

    /// Kills one of the programs.
    pub(crate) async fn kill(&self, name: &str) {
        match &self.programs {
            Programs::Processes(processes) => {
                for process in processes.lock().await.iter_mut().filter(|process| process.name == name) {
                    process.kill().await.expect("a process of ours can be killed");
                }
            }
            Programs::Installation(installation, killed) => {
                let service = installation.service(name);
                killed.lock().await.push(service.to_owned());
                self.engine.kill(&installation.name, service).await.expect("a service can be killed");
            }
        }
    }

    /// Starts again what was killed.
    pub(crate) async fn start_again(&self, name: &str) {
        match &self.programs {
            Programs::Processes(processes) => {
                for process in processes.lock().await.iter_mut().filter(|process| process.name == name) {
                    process.start().expect("what ran once starts again");
                }
            }
            Programs::Installation(installation, killed) => {
                let service = installation.service(name);
                self.engine.start(&installation.name, service).await.expect("what ran once starts again");
                killed.lock().await.retain(|name| name != service);
            }
        }
    }

    /// Ends every program as an operator does, and starts them again.
    pub(crate) async fn cycle(&self) {
        self.halt().await;
        self.resume().await;
    }

    /// Ends every program as an operator does.
    pub(crate) async fn halt(&self) {
        match &self.programs {
            Programs::Processes(processes) => {
                for process in processes.lock().await.iter_mut() {
                    process.stop().await.expect("a program ends by SIGTERM");
                }
            }
            Programs::Installation(installation, _) => installation.down(&[]).await.expect("down"),
        }
    }

    /// Starts what does not run.
    pub(crate) async fn resume(&self) {
        match &self.programs {
            Programs::Processes(processes) => {
                for process in processes.lock().await.iter_mut() {
                    process.ensure().expect("what ran once starts again");
                }
            }
            Programs::Installation(installation, _) => installation.up().await.expect("up again"),
        }
        self.ready().await.expect("ready again");
    }

    /// What an operator's program says of the installation, to its end.
    pub(crate) async fn admin(&self, words: &[&str]) -> Ended {
        let (program, config, first) = match self.shape {
            Shape::Services => ("paastech-admin", "paastech-api.toml", None),
            _ => ("paastechd", "paastechd.toml", Some("admin")),
        };
        let mut command = self.command(binaries::find(program).expect("it is built"));
        command.args(first).arg("--config").arg(self.dir.path().join(config)).args(words);
        capture(command).await
    }

    /// Removes what the database and the repositories are in, and the keys of what was sealed.
    pub(crate) async fn destroy(&self) {
        let data = &self.place.data;
        let Some(database) = &self.database else {
            return fs::remove_dir_all(data).expect("it is ours");
        };
        database.empty().await.expect("a server of our own");
        for file in ["secrets/kek", "secrets/jwt"] {
            fs::remove_file(data.join(file)).expect("a key");
        }
        for folder in ["repositories", "logs"] {
            fs::remove_dir_all(data.join(folder)).expect("a folder");
        }
    }

    /// Somebody new, with an account and a key.
    pub(crate) async fn developer(&self) -> Developer {
        Developer::join(self).await
    }

    /// An app's address.
    pub(crate) fn site(&self, url: &str) -> Site {
        Site::new(url, self.place.ports.edge).expect("an app has a URL")
    }

    /// What the programs started (git, its hooks) ends with them, or soon after.
    async fn processes_left(&self) -> Result<()> {
        let deadline = Instant::now() + LEFT_PATIENCE;
        loop {
            let left = process::find(self.dir.path())?;
            if left.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "still running: {left:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends the programs and removes everything; fails when something did not end well.
    pub(crate) async fn stop(self) -> Result<()> {
        // Nobody waits for a build any more.
        let at_once = runner::is_interrupted();
        let mut failures = Vec::new();
        match &self.programs {
            Programs::Processes(processes) => {
                for process in processes.lock().await.iter_mut().rev() {
                    let ended = if at_once { process.kill().await } else { process.stop().await };
                    failures.extend(ended.err());
                }
            }
            Programs::Installation(installation, _) => {
                let options: &[_] = if at_once { &["--timeout", "0"] } else { &[] };
                failures.extend(installation.down(options).await.err());
            }
        }
        failures.extend(self.processes_left().await.err());
        failures.extend(self.engine.clean().await.err());
        if let Some(database) = &self.database {
            failures.extend(database.remove().await.err());
        }
        if let Some(firewall) = &self.firewall {
            failures.extend(firewall.restore().await.err());
        }
        if let Some(disk) = &self.mounted {
            failures.extend(unmount(self.dir.path(), disk).await.err());
        }
        if let Programs::Installation(installation, _) = &self.programs {
            failures.extend(installation.uninstall().await.err());
        }
        failures.extend(self.dir.close().err().map(Into::into));
        let failures: Vec<String> = failures.iter().map(|error| format!("{error:#}")).collect();
        ensure!(failures.is_empty(), "{}", failures.join("\n"));
        Ok(())
    }
}

/// What has a program see another time: libfaketime, where Debian's package `faketime` has it.
fn clock_off_by(hours: i8) -> Result<Vec<(&'static str, String)>> {
    let libraries = fs::read_dir("/usr/lib")?.flatten().map(|entry| entry.path().join(FAKETIME));
    let library = libraries.into_iter().find(|path| path.exists());
    let library = library.context("libfaketime is not installed: `cargo xtask test e2e` brings it")?;
    let library = library.to_string_lossy().into_owned();
    Ok(vec![("LD_PRELOAD", library), ("FAKETIME", format!("{hours:+}h"))])
}

async fn mount(home: &Path, at: &Path, mib: u32) -> Result<()> {
    let mut mount = process::command("mount", home);
    mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=0700"), "tmpfs"]).arg(at);
    ensure!(mount.status().await?.success(), "a small disk cannot be mounted");
    Ok(())
}

async fn unmount(home: &Path, at: &Path) -> Result<()> {
    ensure!(
        process::command("umount", home).arg(at).status().await?.success(),
        "{} stays mounted",
        at.display()
    );
    Ok(())
}
