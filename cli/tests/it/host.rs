//! A server that answers as a test says, and a home folder to run the command in.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixListener},
    process::{Child, Command},
};

/// One request, as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method and path with query, as in `GET /v1/account`.
    pub(crate) call: String,
    pub(crate) token: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) body: Value,
}

/// What the server answers.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Json(u16, Value),
    /// Lines, and then the end of the stream.
    Lines(Vec<Value>),
    /// Lines, and then the connection is lost.
    Broken(Vec<Value>),
    /// Lines, and then nothing, for ever.
    Endless(Vec<Value>),
    /// The connection is closed without an answer.
    Cut,
}

impl Reply {
    pub(crate) fn ok(body: Value) -> Self {
        Self::Json(200, body)
    }

    pub(crate) fn problem(status: u16, detail: &str) -> Self {
        Self::Json(
            status,
            json!({ "status": status, "code": "a_code", "title": "A title", "detail": detail }),
        )
    }
}

type Answer = dyn Fn(&Seen) -> Reply + Send + Sync;

/// The server and the home.
pub(crate) struct Host {
    pub(crate) home: tempfile::TempDir,
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// What a command left.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Host {
    /// A server on a port of its own.
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = stream::poll_fn(move |cx| listener.poll_accept(cx).map(|one| Some(one.unwrap().0)));
        Self { home: tempfile::tempdir().unwrap(), url, seen: serve_all(connections, answer) }
    }

    /// A server on a Unix socket.
    pub(crate) async fn start_on_socket(
        path: &str,
        answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(path).unwrap();
        let connections = stream::poll_fn(move |cx| listener.poll_accept(cx).map(|one| Some(one.unwrap().0)));
        Self { home, url: String::new(), seen: serve_all(connections, answer) }
    }

    /// The same, with a log-in saved whose access token is good for another hour.
    pub(crate) async fn logged_in(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let host = Self::start(answer).await;
        host.save_log_in("access-1", 3600);
        host
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn credentials(&self) -> PathBuf {
        self.home.path().join(".config/paastech/credentials.toml")
    }

    pub(crate) fn save_log_in(&self, access: &str, good_for_seconds: i64) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let expires_at = i64::try_from(now.as_millis()).unwrap() + good_for_seconds * 1000;
        let url = &self.url;
        let text = format!(
            "current = \"{url}\"\n[api.\"{url}\"]\nemail = \"me@example.org\"\naccess_token = \"{access}\"\n\
             refresh_token = \"refresh-1\"\nexpires_at = {expires_at}\n"
        );
        fs::create_dir_all(self.credentials().parent().unwrap()).unwrap();
        fs::write(self.credentials(), text).unwrap();
    }

    pub(crate) fn mode_of_credentials(&self) -> u32 {
        fs::metadata(self.credentials()).unwrap().permissions().mode() & 0o777
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.call).collect()
    }

    /// A request that came.
    pub(crate) fn seen_call(&self, call: &str) -> Seen {
        let seen = self.seen();
        seen.iter().find(|seen| seen.call == call).unwrap_or_else(|| panic!("{call} not in {seen:?}")).clone()
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with("", self.home.path(), arguments).await
    }

    pub(crate) async fn run_with(&self, stdin: &str, folder: &Path, arguments: &[&str]) -> Outcome {
        let mut child = self.spawn(folder, arguments);
        let mut input = child.stdin.take().unwrap();
        // A command that does not read its stdin may be gone already.
        let _ = input.write_all(stdin.as_bytes()).await;
        drop(input);
        finish(child).await
    }

    /// Runs without a terminal, with nothing from the environment of the test but the search path.
    pub(crate) fn spawn(&self, folder: &Path, arguments: &[&str]) -> Child {
        self.spawn_with(Stdio::piped(), folder, arguments)
    }

    /// Runs with a terminal as stdin, at which `typed` is typed.
    pub(crate) async fn run_at_terminal(&self, typed: &str, arguments: &[&str]) -> Outcome {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let terminal = fs::File::options()
            .read(true)
            .write(true)
            .open(ptsname(&master, Vec::new()).unwrap().to_str().unwrap());
        let child = self.spawn_with(terminal.unwrap().into(), self.home.path(), arguments);
        fs::File::from(master.try_clone().unwrap()).write_all(typed.as_bytes()).unwrap();
        finish(child).await
    }

    #[expect(clippy::disallowed_methods, reason = "the command under test, from a test")]
    fn spawn_with(&self, stdin: Stdio, folder: &Path, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_paastech"))
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// A git repository in the home.
    pub(crate) fn repository(&self, name: &str) -> PathBuf {
        let folder = self.home.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        self.git(&folder, &["init", "-q"]);
        folder
    }

    #[expect(clippy::disallowed_methods, reason = "git, from a test")]
    pub(crate) fn git(&self, folder: &Path, arguments: &[&str]) -> String {
        let output = std::process::Command::new("git")
            .args(arguments)
            .current_dir(folder)
            .env("HOME", self.home.path())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

pub(crate) async fn finish(child: Child) -> Outcome {
    let output = child.wait_with_output().await.unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Answers on every connection; the requests as they come.
fn serve_all<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut connections: impl Stream<Item = S> + Unpin + Send + 'static,
    answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> Arc<Mutex<Vec<Seen>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (answer, log): (Arc<Answer>, _) = (Arc::new(answer), seen.clone());
    tokio::spawn(async move {
        while let Some(stream) = connections.next().await {
            tokio::spawn(serve(stream, answer.clone(), log.clone()));
        }
    });
    seen
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    answer: Arc<Answer>,
    log: Arc<Mutex<Vec<Seen>>>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (answer, log) = (answer.clone(), log.clone());
        async move {
            let seen = read(request).await;
            log.lock().unwrap().push(seen.clone());
            encode(answer(&seen)).ok_or("cut")
        }
    });
    // A cut connection is an error here, and wanted.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn read(request: Request<Incoming>) -> Seen {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let token = header("authorization").map(|value| value.trim_start_matches("Bearer ").to_owned());
    let key = header("idempotency-key");
    let call = format!("{} {}", request.method(), request.uri().path_and_query().unwrap());
    let bytes =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Seen { call, token, key, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
}

fn encode(reply: Reply) -> Option<Response<BoxBody<Bytes, std::io::Error>>> {
    let text = |lines: Vec<Value>| lines.into_iter().map(|line| format!("{line}\n")).collect::<String>();
    let (status, text, end) = match reply {
        Reply::Json(status, Value::Null) => (status, String::new(), End::Whole),
        Reply::Json(status, body) => (status, body.to_string(), End::Whole),
        Reply::Lines(lines) => (200, text(lines), End::Whole),
        Reply::Broken(lines) => (200, text(lines), End::Broken),
        Reply::Endless(lines) => (200, text(lines), End::Never),
        Reply::Cut => return None,
    };
    let first = stream::iter([Ok(Frame::data(Bytes::from(text)))]);
    let rest = match end {
        End::Whole => stream::empty().left_stream(),
        // A moment later, so that what came before is on its way.
        End::Broken => stream::once(async {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            Err(std::io::Error::other("broken by the test"))
        })
        .left_stream()
        .right_stream(),
        End::Never => stream::pending().right_stream().right_stream(),
    };
    Some(Response::builder().status(status).body(BodyExt::boxed(StreamBody::new(first.chain(rest)))).unwrap())
}

enum End {
    Whole,
    Broken,
    Never,
}
