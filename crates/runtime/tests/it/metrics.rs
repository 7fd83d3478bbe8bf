//! The address where a process's metrics are read.

use std::{convert::Infallible, future::pending, net::SocketAddr, time::Duration};

use paastech_proto::git::git_controller_client::GitControllerClient;
use paastech_proto::git::git_controller_server::GitControllerServer;
use paastech_runtime::{
    MetricsConfig, Shutdown, metrics,
    transport::{self, ServerLayer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::body::Body;
use tower::{Layer as _, ServiceExt as _};

use crate::{odd::Odd, transport::inspect};

async fn start(shutdown: &Shutdown) -> SocketAddr {
    let config = MetricsConfig { listen: Some(([127, 0, 0, 1], 0).into()), beyond_loopback: false };
    metrics::serve(&config, "test", shutdown).await.expect("bound").expect("an address")
}

/// What comes back for these bytes, until the end.
async fn exchange(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream.shutdown().await.expect("that was all");
    let mut answer = Vec::new();
    // Half an answer is what was answered.
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

async fn read(addr: SocketAddr) -> String {
    exchange(addr, "GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n").await
}

#[tokio::test]
async fn calls_are_counted_by_how_they_ended() {
    let shutdown = Shutdown::new();
    let addr = start(&shutdown).await;
    let server = GitControllerServer::new(Odd::default());
    let mut client = GitControllerClient::new(transport::in_process(server));
    for what in ["main", "absent", "panic"] {
        drop(client.inspect_repository(inspect(what)).await);
    }
    let mut stream = client.archive(paastech_proto::git::ArchiveRequest::default()).await.expect("begins");
    drop(stream.get_mut().message().await.expect("the first chunk"));
    drop(stream);
    let text = read(addr).await;
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\n")
            && text.contains("\r\ncontent-type: application/openmetrics-text")
    );
    for (method, code) in [
        ("InspectRepository", "Ok"),
        ("InspectRepository", "NotFound"),
        ("InspectRepository", "Internal"),
        ("Archive", "Cancelled"),
    ] {
        let line = format!(
            "paastech_grpc_requests_total{{method=\"/paastech.git.v1.GitController/{method}\",code=\"{code}\"}} "
        );
        assert!(text.contains(&line), "{line}\n{text}");
    }
    let build =
        concat!("paastech_build_info{service=\"test\",version=\"", env!("CARGO_PKG_VERSION"), "\"} 1");
    assert!(text.contains(build), "{text}");
    for (name, least) in [
        ("process_resident_memory_bytes", 1e6),
        ("process_open_fds", 3.0),
        ("process_cpu_seconds_total", 0.0),
    ] {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        assert!(value.is_some_and(|value| value > least), "{name}: {value:?}");
    }
    shutdown.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn nothing_else_is_answered_there() {
    let shutdown = Shutdown::new();
    let addr = start(&shutdown).await;
    for head in [
        "POST /metrics",
        "HEAD /metrics",
        "GET /",
        "GET /metrics/",
        "GET //metrics",
        "GET /Metrics",
        "GET /../metrics",
        "GET /debug/pprof",
        "GET http://elsewhere/",
    ] {
        let answer =
            exchange(addr, &format!("{head} HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{head}: {answer}");
        assert!(!answer.contains("paastech"), "{head}: {answer}");
    }
    for junk in
        ["\r\n\r\n\r\n", "GET /metrics\r\n\r\n", "\u{1}\u{2}\u{3}\r\n\r\n", "GET /metrics HTTP/9.9\r\n\r\n"]
    {
        let answer = exchange(addr, junk).await;
        assert!(!answer.contains("200 OK"), "{junk:?}: {answer}");
    }
    assert!(read(addr).await.contains("200 OK"), "and it still answers");
    shutdown.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn an_unknown_method_does_not_become_a_label() {
    let shutdown = Shutdown::new();
    let addr = start(&shutdown).await;
    let chosen = |timeout: &str| {
        let request = http::Request::post("/paastech.git.v1.GitController/Chosen-by-the-caller");
        request.header("grpc-timeout", timeout).body(Body::empty()).expect("a request")
    };
    let server = transport::in_process(GitControllerServer::new(Odd::default()));
    drop(server.oneshot(chosen("10S")).await.expect("answered"));
    let silent = tower::service_fn(|_| pending::<Result<http::Response<Body>, Infallible>>());
    drop(ServerLayer.layer(silent).oneshot(chosen("0n")).await.expect("answered"));
    let text = read(addr).await;
    for code in ["Unimplemented", "DeadlineExceeded"] {
        assert!(text.contains(&format!("method=\"other\",code=\"{code}\"")), "{code}\n{text}");
    }
    assert!(!text.contains("Chosen"), "{text}");
    shutdown.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn metrics_leave_loopback_only_when_told_so() {
    let shutdown = Shutdown::new();
    let mut config = MetricsConfig { listen: Some(([0, 0, 0, 0], 0).into()), beyond_loopback: false };
    let refused = metrics::serve(&config, "test", &shutdown).await.expect_err("refused").to_string();
    assert!(refused.contains("metrics.beyond_loopback"), "{refused}");
    config.beyond_loopback = true;
    assert!(metrics::serve(&config, "test", &shutdown).await.expect("bound").is_some());
    assert_eq!(metrics::serve(&MetricsConfig::default(), "test", &shutdown).await.expect("off"), None);
    shutdown.stop(Duration::from_secs(5)).await;
}
