//! Requests that two servers might read differently, and claims that only a proxy may make.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;

use crate::{
    app::Script,
    rig::{HOST, Rig},
};

const OK: &[Option<&str>] = &[Some("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")];

/// Heads that are refused; `{}` stands for a good `Host` line.
const REFUSED: [&str; 30] = [
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\n{}{}\r\n",
    "GET / HTTP/1.1\r\n{}Host: other.localhost\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: \r\n\r\n",
    "GET / HTTP/1.1\r\nHost: u@app.user-app.localhost\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : app.user-app.localhost\r\n\r\n",
    "GET / HTTP/1.1\r\n Host: app.user-app.localhost\r\n\r\n",
    "GET http://other.localhost/ HTTP/1.1\r\n{}\r\n",
    "GET http://app.user-app.localhost/ HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\n{}X-A: a\r\n b\r\n\r\n",
    "GET / HTTP/1.1\r\n{}X-A: a\0b\r\n\r\n",
    "GET / HTTP/1.1\r\n{}X-A: a\rb\r\n\r\n",
    "GET / HTTP/1.1\r\n{}X A: a\r\n\r\n",
    "GET / HTTP/1.1\r\n{}: a\r\n\r\n",
    "GET / HTTP/1.1\r\n{}no colon\r\n\r\n",
    "GE(T / HTTP/1.1\r\n{}\r\n",
    "GET /a b HTTP/1.1\r\n{}\r\n",
    "GET / HTTP/1.2\r\n{}\r\n",
    "GET / HTTP/2.0\r\n{}\r\n",
    "GET /\r\n{}\r\n",
    "CONNECT app.user-app.localhost:80 HTTP/1.1\r\n{}\r\n",
    "POST / HTTP/1.1\r\n{}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "POST / HTTP/1.1\r\n{}Content-Length: 5, 6\r\n\r\nhello!",
    "POST / HTTP/1.1\r\n{}Content-Length: +5\r\n\r\nhello",
    "POST / HTTP/1.1\r\n{}Content-Length: -1\r\n\r\nhello",
    "POST / HTTP/1.1\r\n{}Content-Length: 0x5\r\n\r\nhello",
    "POST / HTTP/1.1\r\n{}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\n{}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\n{}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
];

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_refused() {
    let rig = Rig::start().await;
    let app = Script::start(OK).await;
    rig.table.apply(&[rig.replica(1, app.addr)]);
    for request in REFUSED {
        let request = request.replace("{}", &format!("Host: {HOST}\r\nConnection: close\r\n"));
        let answer = rig.raw(&request).await;
        let refused =
            answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.0 4");
        assert!(refused, "{request:?} was answered with {answer:?}");
    }
    assert_eq!(app.heard(), [""; 0], "nothing reached the app");
}

/// Two framings in one request: the app sees one only, and nothing that comes after it.
#[tokio::test]
async fn of_two_framings_one_goes_on_and_the_connection_ends() {
    let framings = [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\nConnection: content-length\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    ];
    for framing in framings {
        let rig = Rig::start().await;
        let app = Script::start(OK).await;
        rig.table.apply(&[rig.replica(1, app.addr)]);
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {HOST}\r\n{framing}\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
        );
        rig.raw(&request).await;
        let heard = app.heard().concat().to_ascii_lowercase();
        assert!(!heard.contains("smuggled"), "{heard}");
        assert!(!heard.contains("content-length"), "{heard}");
        assert_eq!(heard.matches("transfer-encoding: chunked\r\n").count(), 1, "{heard}");
    }
}

#[tokio::test]
async fn a_broken_chunk_never_completes_the_apps_request() {
    for chunk in ["fffffffffffffffff\r\n", "5;a=\"\r\n", "-1\r\n", "zz\r\n", "5\r\nhelloXX"] {
        let rig = Rig::start().await;
        let app = Script::start(&[None]).await;
        rig.table.apply(&[rig.replica(1, app.addr)]);
        rig.raw(&format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{chunk}0\r\n\r\n")).await;
        let heard = app.heard().concat();
        assert!(!heard.ends_with("0\r\n\r\n"), "{chunk:?} became {heard:?}");
    }
}

#[tokio::test]
async fn claims_of_a_client_do_not_reach_the_app() {
    let rig = Rig::start().await;
    let app = Script::start(OK).await;
    rig.table.apply(&[rig.replica(1, app.addr)]);
    let claims = "X-Forwarded-For: evil\r\nX_Forwarded_For: evil\r\nx-forwarded-USER: evil\r\nForwarded: for=evil\r\n\
                  X-Real-IP: evil\r\nProxy: evil\r\nConnection: close, x-forwarded-for, x-request-id, host\r\n";
    rig.raw(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{claims}\r\n")).await;
    let heard = app.heard().concat().to_ascii_lowercase();
    assert!(!heard.contains("evil"), "{heard}");
    for line in ["\r\nx-forwarded-for: 127.0.0.1\r\n", "\r\nx-request-id: ", &format!("\r\nhost: {HOST}\r\n")]
    {
        assert_eq!(heard.matches(line).count(), 1, "{line:?} in {heard}");
    }
}

#[tokio::test]
async fn header_values_cannot_break_out_of_their_line() {
    let rig = Rig::start().await;
    let app = Script::start(OK).await;
    rig.table.apply(&[rig.replica(1, app.addr)]);
    rig.raw(&format!("GET /%0d%0aX-Evil:%201?q=%0a HTTP/1.1\r\nHost: {HOST}\r\nX-A: %0d%0aX-Evil: 1\r\nConnection: close\r\n\r\n")).await;
    let heard = app.heard().concat().to_ascii_lowercase();
    assert!(heard.starts_with("get /%0d%0ax-evil:%201?q=%0a http/1.1\r\n"), "{heard}");
    assert!(!heard.contains("\nx-evil"), "{heard}");
}

#[tokio::test]
async fn an_authority_and_a_host_that_differ_are_misdirected() {
    let rig = Rig::start().await;
    let request = Request::get(format!("http://{HOST}/")).header("host", "other.localhost");
    let answer = rig.h2(request.body(Full::<Bytes>::default()).expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST);
}
