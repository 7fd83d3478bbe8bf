//! The SSH server as a process of its own, beside a world whose people and repositories it serves.

use std::{fs, process::Stdio};

use paastech_runtime::serve::GrpcServer;
use paastech_ssh_git_server::{Config, config::Limits};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStderr},
};

use crate::world::{World, config, program, run};

pub(crate) struct Program {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Program {
    /// Starts it; the world's clients speak to it from now on.
    pub(crate) async fn start(world: &mut World) -> Self {
        let control = GrpcServer::bind(([127, 0, 0, 1], 0).into(), None).await.expect("bound");
        let url = format!("http://{}", control.addr().expect("bound"));
        world.shutdown.spawn("control", control.run(world.fake.server(), &[], world.shutdown.clone()));
        let mut config = config(world.dir.path(), Limits::default());
        config.state_dir = world.dir.path().join("program");
        let file = world.dir.path().join("program.toml");
        fs::write(&file, paastech_runtime::config::print_section("ssh", &config).expect("printed"))
            .expect("written");
        let mut command = program(env!("CARGO_BIN_EXE_paastech-ssh-git-server"));
        command.arg("--config").arg(file).args(["--control", &url]).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let log = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut program = Self { child, log };
        let line = program.logs("address").await;
        let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next());
        world.port = port.and_then(|port| port.parse().ok()).expect("a port");
        program
    }

    /// The next line of its log that says this.
    pub(crate) async fn logs(&mut self, text: &str) -> String {
        loop {
            let line = self.log.next_line().await.expect("read").expect("it runs");
            if line.contains(text) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(id.expect("it runs"), signal).expect("signalled");
    }

    pub(crate) async fn ends(mut self) {
        self.child.wait().await.expect("ended");
    }
}

#[tokio::test]
async fn a_check_of_health_waits_for_a_greeting_but_not_for_ever() {
    let mut world = World::start().await;
    let program = Program::start(&mut world).await;
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.expect("bound");
    let silent_port = silent.local_addr().expect("bound").port();
    let dir = world.dir.path();
    for (port, healthy) in [(world.port, true), (silent_port, false)] {
        let listen = ([127, 0, 0, 1], port).into();
        let config = Config { listen, ..config(dir, Limits::default()) };
        let file = dir.join("health.toml");
        fs::write(&file, paastech_runtime::config::print_section("ssh", &config).expect("printed"))
            .expect("written");
        let words = ["--config", file.to_str().expect("UTF-8"), "--health"];
        let ran = run(dir, env!("CARGO_BIN_EXE_paastech-ssh-git-server"), &words).await;
        if healthy {
            ran.ok();
        } else {
            ran.fails().says("does not greet in time");
        }
    }
    program.signal(Signal::TERM);
    program.ends().await;
}
