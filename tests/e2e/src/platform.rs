//! One running installation, from an empty directory to nothing left.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use paastech_runtime::secrets::SecretFiles;
use serde_json::json;
use tempfile::TempDir;
use tokio::{sync::Mutex, time::Instant};
use toml::Table;

use crate::{
    Api, Developer, Ended, Shape,
    api::PASSWORD,
    binaries,
    config::{self, Ports},
    database::ThrowAwayDatabase,
    engine::Engine,
    firewall::Firewall,
    process::{self, Process},
    push::capture,
    web::Site,
};

const ENGINE_SOCKET: &str = "/var/run/docker.sock";
const ADMINISTRATOR: &str = "root@example.org";
const READY_PATIENCE: Duration = Duration::from_secs(30);
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
}

impl Setup {
    /// Nothing.
    pub(crate) const PLAIN: Self =
        Self { disk_mib: 0, min_free_mib: 0, dead_engine: false, firewall: false, roomy: false };
}

/// Where an installation is.
pub(crate) struct Place {
    pub(crate) ports: Ports,
    pub(crate) data: PathBuf,
    pub(crate) engine_socket: PathBuf,
    pub(crate) instance: String,
    pub(crate) min_free_mib: u32,
    pub(crate) roomy: bool,
}

impl Place {
    /// The folder of the keys.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.data.join("secrets")
    }

    /// The folder of the services' certificates.
    pub(crate) fn certificates(&self) -> PathBuf {
        self.data.join("certificates")
    }

    /// Where the host's root needs no log-in.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.data.join("admin.sock")
    }
}

/// One running installation.
pub(crate) struct Platform {
    pub(crate) shape: Shape,
    pub(crate) place: Place,
    pub(crate) engine: Engine,
    pub(crate) api: Api,
    pub(crate) firewall: Option<Firewall>,
    processes: Mutex<Vec<Process>>,
    database: Option<ThrowAwayDatabase>,
    mounted: bool,
    dir: TempDir,
}

impl Platform {
    /// Starts one, and makes its administrator.
    pub(crate) async fn start(shape: Shape, setup: Setup) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("pt-e2e-").tempdir()?;
        let data = dir.path().join("data");
        fs::create_dir(&data)?;
        let real = PathBuf::from(ENGINE_SOCKET);
        let engine = Engine::connect(&real).await?;
        let ports = Ports::free()?;
        let api = Api::new(ports.api)?;
        let database = match shape {
            Shape::Services => Some(ThrowAwayDatabase::create().await?),
            Shape::Embedded | Shape::PomegranateOutside => None,
        };
        let firewall = if setup.firewall { Some(Firewall::load(dir.path()).await?) } else { None };
        // Last of what may well fail: nothing below leaves it mounted.
        if setup.disk_mib > 0 {
            mount(dir.path(), &data, setup.disk_mib).await?;
        }
        let secrets = SecretFiles::ensure(data.join("secrets"))?;
        secrets.label_hmac()?;
        let instance = secrets.instance()?;
        paastech_certs::ensure(&data.join("certificates"), SystemTime::now().into(), false)?;
        let engine = engine.seen_by(&instance);
        let place = Place {
            ports,
            engine_socket: if setup.dead_engine { dir.path().join("no-engine.sock") } else { real },
            data,
            instance,
            min_free_mib: setup.min_free_mib,
            roomy: setup.roomy,
        };
        let mut platform = Self {
            shape,
            place,
            engine,
            api,
            firewall,
            processes: Mutex::default(),
            database,
            mounted: setup.disk_mib > 0,
            dir,
        };
        let outcome = platform.begin(setup).await;
        match outcome {
            Ok(()) => Ok(platform),
            Err(error) => {
                let logs = platform.logs().await;
                drop(platform.stop().await);
                Err(anyhow!("{error:#}\n{logs}"))
            }
        }
    }

    async fn begin(&mut self, setup: Setup) -> Result<()> {
        let mut processes = self.programs()?;
        for process in &mut processes {
            process.start()?;
        }
        self.processes = Mutex::new(processes);
        if setup.dead_engine {
            self.answering("/healthz").await?;
        } else {
            self.ready().await?;
        }
        let token = fs::read_to_string(self.place.data.join("setup-token")).context("the setup token")?;
        let body =
            json!({ "token": token.trim(), "email": ADMINISTRATOR, "name": "Root", "password": PASSWORD });
        let answer = self.api.post("/v1/setup", body).await;
        ensure!(answer.status == 201, "setup: {}: {}", answer.status, answer.body);
        Ok(())
    }

    /// The shape's programs, in no order that matters: each waits for the others.
    fn programs(&self) -> Result<Vec<Process>> {
        let place = &self.place;
        match self.shape {
            Shape::Embedded => Ok(vec![self.program("paastechd", &config::daemon(place), &[])?]),
            Shape::PomegranateOutside => Ok(vec![
                self.program("pomegranate", &config::pomegranate(place), &[])?,
                self.program("paastechd", &config::daemon_without_pomegranate(place), &[])?,
            ]),
            Shape::Services => {
                let database = self.database.as_ref().map(ThrowAwayDatabase::url).unwrap_or_default();
                let key = place.secrets().join("label-hmac").to_string_lossy().into_owned();
                let control = place.ports.control_url();
                Ok(vec![
                    self.program("paastech-git-controller", &config::git_controller(place), &[])?,
                    self.program("pomegranate", &config::pomegranate(place), &[])?,
                    self.program("paastech-edge", &config::edge(place), &["--label-key", &key])?,
                    self.program("paastech-api", &config::api(place, &database), &[])?,
                    self.program("paastech-ssh-git-server", &config::ssh(place), &["--control", &control])?,
                ])
            }
        }
    }

    fn program(&self, name: &'static str, config: &Table, flags: &[&str]) -> Result<Process> {
        let file = self.dir.path().join(format!("{name}.toml"));
        fs::write(&file, toml::to_string(config)?)?;
        let mut arguments = vec!["--config".to_owned(), file.to_string_lossy().into_owned()];
        arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
        Ok(Process::new(name, binaries::find(name)?, arguments, self.dir.path()))
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

    /// Fails when a program has ended by itself.
    pub(crate) async fn check(&self) -> Result<()> {
        self.processes.lock().await.iter_mut().try_for_each(Process::check)
    }

    /// The last lines of every program's log.
    pub(crate) async fn logs(&self) -> String {
        self.processes.lock().await.iter().map(Process::tail).collect::<Vec<_>>().join("\n")
    }

    /// All that the programs have logged.
    pub(crate) async fn whole_log(&self) -> String {
        self.processes.lock().await.iter().map(Process::log).collect()
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
        for process in self.processes.lock().await.iter_mut().filter(|process| process.name == name) {
            process.kill().await.expect("a process of ours can be killed");
        }
    }

    /// Starts again what was killed.
    pub(crate) async fn start_again(&self, name: &str) {
        for process in self.processes.lock().await.iter_mut().filter(|process| process.name == name) {
            process.start().expect("what ran once starts again");
        }
    }

    /// Ends every program as an operator does, and starts them again.
    pub(crate) async fn cycle(&self) {
        self.halt().await;
        self.resume().await;
    }

    /// Ends every program as an operator does.
    pub(crate) async fn halt(&self) {
        for process in self.processes.lock().await.iter_mut() {
            process.stop().await.expect("a program ends by SIGTERM");
        }
    }

    /// Starts what does not run.
    pub(crate) async fn resume(&self) {
        for process in self.processes.lock().await.iter_mut() {
            process.ensure().expect("what ran once starts again");
        }
        self.ready().await.expect("ready again");
    }

    /// What an operator's program says of the installation, to its end.
    pub(crate) async fn admin(&self, words: &[&str]) -> Ended {
        let (program, config, first) = match self.shape {
            Shape::Services => ("paastech-admin", "paastech-api.toml", None),
            Shape::Embedded | Shape::PomegranateOutside => ("paastechd", "paastechd.toml", Some("admin")),
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
        let mut failures = Vec::new();
        for process in self.processes.lock().await.iter_mut().rev() {
            failures.extend(process.stop().await.err());
        }
        failures.extend(self.processes_left().await.err());
        failures.extend(self.engine.clean().await.err());
        if let Some(database) = &self.database {
            failures.extend(database.remove().await.err());
        }
        if let Some(firewall) = &self.firewall {
            failures.extend(firewall.restore().await.err());
        }
        if self.mounted {
            failures.extend(unmount(self.dir.path(), &self.place.data).await.err());
        }
        failures.extend(self.dir.close().err().map(Into::into));
        let failures: Vec<String> = failures.iter().map(|error| format!("{error:#}")).collect();
        ensure!(failures.is_empty(), "{}", failures.join("\n"));
        Ok(())
    }
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
