//! The SSH server as a process of its own, beside a world whose people and repositories it serves.

use std::{fs, process::Stdio};

use paastech_runtime::serve::GrpcServer;
use paastech_ssh_git_server::config::Limits;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr},
};

use crate::world::{World, config, program};

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
