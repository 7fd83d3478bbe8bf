//! A process of a built app, started with the environment that the launcher would give it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

const PATIENCE: Duration = Duration::from_secs(20);

/// A running process; it is killed on drop.
pub struct Running {
    child: Child,
    port: u16,
}

impl Running {
    #[expect(clippy::disallowed_methods, reason = "the place of the harness that starts apps")]
    pub(crate) fn start(
        argv: &[String],
        workspace: &Path,
        layers: &Path,
        environment: Vec<(OsString, OsString)>,
    ) -> Self {
        let port = free_port();
        let mut variables: BTreeMap<OsString, OsString> = environment.into_iter().collect();
        variables.insert("PORT".into(), port.to_string().into());
        for layer in launch_layers(layers) {
            apply(&layer, &mut variables);
        }
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).current_dir(workspace).env_clear().envs(variables);
        command.stdin(Stdio::null()).process_group(0);
        let mut running = Self { child: command.spawn().expect("the process starts"), port };
        running.wait();
        running
    }

    /// The body of a page, asked for from this process.
    pub fn get(&self, path: &str) -> String {
        let answer = self.ask(path).expect("an answer");
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or(answer)
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if let Some(status) = self.child.try_wait().expect("the process can be asked") {
                panic!("the process ended before it listened: {status}");
            }
            assert!(Instant::now() < deadline, "the process does not listen on $PORT");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn ask(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The group: servers have workers.
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            let _already_dead = kill_process_group(group, Signal::KILL);
        }
        let _already_reaped = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// In alphabetical order, as the launcher takes them.
fn launch_layers(layers: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(layers)
        .expect("the layers")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            let text = fs::read_to_string(path.with_extension("toml")).unwrap_or_default();
            path.is_dir() && text.contains("launch = true")
        })
        .collect();
    found.sort_unstable();
    found
}

/// `bin` and `lib` by their place, `env` and `env.launch` by the suffixes of their files.
fn apply(layer: &Path, variables: &mut BTreeMap<OsString, OsString>) {
    for (dir, name) in [("bin", "PATH"), ("lib", "LD_LIBRARY_PATH")] {
        if layer.join(dir).is_dir() {
            prepend(variables, name, layer.join(dir).into(), ":");
        }
    }
    for dir in ["env", "env.launch"] {
        let Ok(files) = fs::read_dir(layer.join(dir)) else { continue };
        for file in files.map(|file| file.expect("a file").path()).filter(|file| file.is_file()) {
            let value = OsString::from(fs::read_to_string(&file).expect("a variable"));
            let name = file.file_stem().expect("a name").to_owned();
            match file.extension().and_then(|suffix| suffix.to_str()) {
                Some("default") => {
                    variables.entry(name).or_insert(value);
                }
                Some("prepend") => {
                    let between = fs::read_to_string(file.with_extension("delim")).unwrap_or_default();
                    prepend(variables, &name.to_string_lossy(), value, &between);
                }
                Some("delim") => {}
                Some("override") | None => {
                    variables.insert(name, value);
                }
                Some(other) => panic!("the harness does not know the suffix {other}"),
            }
        }
    }
}

fn prepend(variables: &mut BTreeMap<OsString, OsString>, name: &str, mut value: OsString, between: &str) {
    if let Some(before) = variables.get(&OsString::from(name)).filter(|before| !before.is_empty()) {
        value.push(between);
        value.push(before);
    }
    variables.insert(name.into(), value);
}
